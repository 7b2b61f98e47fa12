/**
 * Drives dicomweb-client: a job comes as JSON on standard input, what each call gave goes as JSON to standard output.
 *
 * {"url": "https://127.0.0.1:8443", "tls": {"cert": path, "key": path, "ca": path} | null, "headers": {},
 *  "calls": [{"method": "searchForStudies", "options": {...}, "singlepart": "bulkdata"}]}
 *
 * Answers stand in the order of the calls: {"value": ...} or {"failed": status}. Binary content is
 * {"bytes": length, "sha256": hex}. `datasets` are paths of files. A `wado` call builds a WADO-URI URL by the library
 * and gets it.
 */

'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { api } = require('dicomweb-client');
const { requestsWith } = require('./xmlhttprequest.js');

const quiet = { verbose: false };

// The library talks to the console of a browser.
console.debug = console.warn = console.error = console.log = () => undefined;

function shown(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    const content = Buffer.from(value);
    return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  }
  return Array.isArray(value) && value.some(each => each instanceof ArrayBuffer) ? value.map(shown) : value;
}

/** The answer to a plain GET: its type and what it holds. */
function get(url, headers) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('GET', url);
    request.responseType = 'arraybuffer';
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.onloadend = () => {
      if (request.status === 200) resolve([request.getResponseHeader('Content-Type'), shown(request.response)]);
      else reject(Object.assign(new Error('request failed'), { status: request.status }));
    };
    request.send();
  });
}

async function call(job, { method, options = {}, singlepart = false }) {
  const prefixes = method === 'wado' ? { wadoURLPrefix: 'wado' } : {};
  const url = method === 'wado' ? job.url : `${job.url}/dicom-web`;
  const client = new api.DICOMwebClient({ url, headers: job.headers, singlepart, ...prefixes, ...quiet });
  if (method === 'wado') {
    return get(client.buildInstanceWadoURIUrl(options), job.headers);
  }
  if (options.datasets) {
    const contents = options.datasets.map(path => readFileSync(path));
    options.datasets = contents.map(each => each.buffer.slice(each.byteOffset, each.byteOffset + each.length));
  }
  const value = await client[method](options);
  return typeof value === 'string' && method !== 'storeInstances' ? shown(Buffer.from(value, 'utf8')) : shown(value);
}

async function main() {
  const job = JSON.parse(readFileSync(0, 'utf8'));
  const tls = job.tls && Object.fromEntries(Object.entries(job.tls).map(([name, path]) => [name, readFileSync(path)]));
  globalThis.XMLHttpRequest = requestsWith(tls ?? {});
  const results = [];
  for (const each of job.calls) {
    try {
      results.push({ value: await call(job, each) });
    } catch (error) {
      results.push({ failed: error.status ?? String(error) });
    }
  }
  process.stdout.write(JSON.stringify(results), () => process.exit(0));
}

main();
