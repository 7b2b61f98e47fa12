/**
 * XMLHttpRequest (XHR Standard) over node:https, with a client certificate: what a browser would give dicomweb-client.
 *
 * As in a browser: names are sent as given, a header set twice is joined, forbidden names are ignored, methods that are
 * case-insensitive become upper case, anything is accepted by default, answers come in the type asked for, and a failed
 * connection is an `error` with status 0. Left out: synchronous requests, redirects, cookies, events of uploads.
 */

'use strict';

const http = require('node:http');
const https = require('node:https');

const FORBIDDEN = new Set([
  'accept-charset', 'accept-encoding', 'connection', 'content-length', 'cookie', 'date', 'expect', 'host', 'keep-alive',
  'origin', 'referer', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'via',
]);
const NORMALISED = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT']);

/** A class of requests that all go out with the same certificate and reuse their connections. */
function requestsWith(tls) {
  const agents = {
    'http:': new http.Agent({ keepAlive: true, maxSockets: 4 }),
    'https:': new https.Agent({ keepAlive: true, maxSockets: 4, minVersion: 'TLSv1.3', ...tls }),
  };

  class XMLHttpRequest {
    constructor() {
      this.readyState = 0;
      this.status = 0;
      this.statusText = '';
      this.response = '';
      this.responseType = '';
      this.withCredentials = false;
      this._sent = new Map();
      this._received = [];
    }

    open(method, url) {
      const upper = method.toUpperCase();
      this._method = NORMALISED.has(upper) ? upper : method;
      this._url = new URL(url);
      this._sent.clear();
      this._become(1);
    }

    setRequestHeader(name, value) {
      if (this.readyState !== 1) throw new Error('InvalidStateError');
      const key = name.toLowerCase();
      if (FORBIDDEN.has(key)) return;
      const held = this._sent.get(key);
      this._sent.set(key, held === undefined ? [name, value] : [held[0], `${held[1]}, ${value}`]);
    }

    getResponseHeader(name) {
      const values = this._received.filter(([each]) => each === name.toLowerCase()).map(([, value]) => value);
      return values.length ? values.join(', ') : null;
    }

    getAllResponseHeaders() {
      const names = [...new Set(this._received.map(([name]) => name))].sort();
      return names.map(name => `${name}: ${this.getResponseHeader(name)}\r\n`).join('');
    }

    abort() {
      this._request?.destroy();
    }

    send(body = null) {
      if (this.readyState !== 1 || this._request) throw new Error('InvalidStateError');
      const headers = Object.fromEntries(this._sent.values());
      if (!this._sent.has('accept')) headers.Accept = '*/*';
      const content = body === null ? null : Buffer.from(body);
      if (content !== null || this._method === 'POST') headers['Content-Length'] = content?.length ?? 0;
      const library = this._url.protocol === 'https:' ? https : http;
      const settings = { method: this._method, headers, agent: agents[this._url.protocol] };
      this._emit('loadstart');
      this._request = library.request(this._url, settings, answer => this._receive(answer));
      this._request.on('error', error => this._fail(error));
      this._request.end(content ?? undefined);
    }

    _receive(answer) {
      const raw = answer.rawHeaders;
      for (let i = 0; i < raw.length; i += 2) this._received.push([raw[i].toLowerCase(), raw[i + 1]]);
      this.status = answer.statusCode;
      this.statusText = answer.statusMessage;
      this._become(2);
      const chunks = [];
      let loaded = 0;
      const total = Number(answer.headers['content-length'] ?? 0);
      answer.on('data', chunk => {
        chunks.push(chunk);
        loaded += chunk.length;
        this._emit('progress', { loaded, total, lengthComputable: total > 0 });
      });
      answer.on('error', error => this._fail(error));
      answer.on('end', () => {
        if (!answer.complete) return this._fail(new Error('the answer broke off'));
        this.response = this._read(Buffer.concat(chunks));
        this._become(4);
        this._emit('load');
        return this._emit('loadend');
      });
    }

    _read(content) {
      if (this.responseType === 'arraybuffer') {
        return content.buffer.slice(content.byteOffset, content.byteOffset + content.length);
      }
      if (this.responseType !== 'json') return content.toString('utf8');
      try {
        return JSON.parse(content.toString('utf8'));
      } catch {
        return null;
      }
    }

    _fail(error) {
      if (this.readyState === 4) return;
      this.status = 0;
      this.response = this.responseType === '' ? '' : null;
      this.failure = error;
      this._become(4);
      this._emit('error');
      this._emit('loadend');
    }

    _become(state) {
      this.readyState = state;
      this.onreadystatechange?.();
    }

    _emit(name, details = {}) {
      this[`on${name}`]?.({ type: name, target: this, ...details });
    }
  }

  return XMLHttpRequest;
}

module.exports = { requestsWith };
