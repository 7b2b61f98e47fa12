"""What the proxy costs: requests a CPU second on a trivial archive, and ratios against nginx that checks nothing.

    python -m tests.bench.throughput [--quick] [--json]

Cases, interleaved, medians over the runs with their spread:

    tiny       a 1 KiB instance from an archive that does nothing (nginx serving a file): CPU seconds of the proxy
    instance   a 0.5 MB instance from Orthanc, 8 connections: requests/s direct, nginx with mutual TLS, through us
    study      a 100 MB study from Orthanc, one connection: seconds direct, nginx with mutual TLS, through us
    search     an archive that returns 100 rows at once: CPU of the proxy a search, for who sees all, for who sees one
               institution, and for the latter where each search has its 50 studies looked up anew

Load comes from ``ab`` (HTTP/1.0 with keep-alive) and ``curl``. nginx runs one worker with the same certificates. All of
it shares this machine's cores, so absolute figures say little; ratios and CPU seconds are what to compare.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploy.dev import archive, posture, site
from deploy.dev.dataset import LARGE, study
from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack, dicomward
from tests.workers import worker_pid

STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"
TINY = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
UNLIMITED = {"requests_per_s": 1e6, "burst": 1_000_000, "address_requests_per_s": 1e6, "address_burst": 1_000_000}

NGINX = """
user root; worker_processes 1; daemon off; pid {dir}/nginx-{name}.pid; error_log {dir}/nginx-{name}.log;
events {{ worker_connections 512; }}
http {{
  access_log off; default_type application/octet-stream; keepalive_requests 1000000;
  client_body_temp_path {dir}/{name}-1; proxy_temp_path {dir}/{name}-2; fastcgi_temp_path {dir}/{name}-3;
  uwsgi_temp_path {dir}/{name}-4; scgi_temp_path {dir}/{name}-5;
  {body}
}}
"""
TRIVIAL = """
  server {{
    listen 127.0.0.1:{port};
    location = /dicom-web/studies/{study}/series {{ default_type application/dicom+json; alias {dir}/series.json; }}
    location = /dicom-web/series {{ default_type application/dicom+json; alias {dir}/rows.json; }}
    location = {tiny} {{
      default_type 'multipart/related; type="application/dicom"; boundary=b'; alias {dir}/tiny.bin;
    }}
  }}
"""
FRONT = """
  upstream archive {{ server 127.0.0.1:{upstream}; keepalive 16; keepalive_timeout 1s; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3; ssl_session_tickets off;
    ssl_certificate {pki}/server.crt; ssl_certificate_key {pki}/server.key;
    ssl_client_certificate {pki}/ca.crt; ssl_verify_client on;
    location / {{
      proxy_pass http://archive; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Basic {auth}"; proxy_set_header Accept-Encoding identity;
    }}
  }}
"""


class BenchStack(DevStack):
    """Certificates and Orthanc of a dev stack; proxies are started by the cases, and told posture as they start."""

    def _start(self) -> None:
        self.pki.prepare()
        self.contract = "0x" + "11" * 20
        self._start_archive()


@contextmanager
def process(command: list[str], ready: Callable[[], bool], log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        for _ in range(200):
            if child.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {log.read_text()[-2000:]}")
            if ready():
                break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{command[0]} is not ready")
        # The proxy is a supervisor, and the worker below it that serves.
        yield psutil.Process(worker_pid(child.pid) if "serve" in command else child.pid)
    finally:
        child.terminate()
        child.wait(30)


@contextmanager
def nginx(stack: BenchStack, name: str, port: int, body: str, **values: object) -> Iterator[psutil.Process]:
    folder = stack.layout.directory
    text = NGINX.format(dir=folder, name=name, body=body.format(dir=folder, port=port, pki=stack.layout.pki, **values))
    path = folder / f"nginx-{name}.conf"
    path.write_text(text)
    command = ["nginx", "-e", f"{folder}/nginx-{name}.log", "-c", str(path)]
    with process(command, lambda: _open(port), folder / f"nginx-{name}.out") as child:
        time.sleep(0.3)
        yield child


@contextmanager
def proxy(
    stack: BenchStack, base: int, name: str, upstream: str, credentials: bool, **archive_settings: object
) -> Iterator[tuple[psutil.Process, int]]:
    ports = Ports.at(base)
    settings = site.site_settings(
        stack.layout,
        ports,
        archive=upstream,
        with_credentials=credentials,
        policies=stack.policies,
        contract=stack.contract,
        chain_id=31337,
        overrides={
            "limits": UNLIMITED,
            "record": {"directory": f"spool-{name}"},
            "posture": {"store": f"posture-{name}.db"},
            "archive": archive_settings,
        },
    )
    path = stack.layout.directory / f"{name}.toml"
    path.write_text(site.to_toml(settings), "utf-8")
    admin = f"http://127.0.0.1:{ports.admin}/readyz"
    with process(
        [*dicomward(), "serve", "--config", str(path)], lambda: _answers(admin), stack.layout.log / f"{name}.log"
    ) as child:
        posture.refresh(f"https://127.0.0.1:{ports.proxy}", stack.layout.pki)
        yield child, ports.proxy


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def ab(
    url: str, number: int, connections: int, client: Path | None, accept: str, auth: str | None = None
) -> dict[str, float]:
    command = ["ab", "-q", "-k", "-n", str(number), "-c", str(connections), "-H", f"Accept: {accept}"]
    if client is not None:
        command += ["-f", "TLS1.3", "-E", str(client)]
    if auth is not None:
        command += ["-A", auth]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or not re.search(r"Failed requests:\s+0\b", text):
        raise RuntimeError(f"requests failed:\n{text}")
    rate = re.search(r"Requests per second:\s+([\d.]+)", text)
    tail = re.search(r"99%\s+(\d+)", text)
    assert rate is not None
    return {"per_s": float(rate[1]), "p99_ms": float(tail[1]) if tail else 0.0}


def curl(url: str, client: Path | None, ca: Path, auth: str | None = None) -> float:
    command = ["curl", "-sf", "-o", "/dev/null", "-w", "%{time_total}", "-H", f"Accept: {ACCEPT}"]
    if client is not None:
        command += ["--cacert", str(ca), "--cert", str(client)]
    if auth is not None:
        command += ["-u", auth]
    return float(subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout)


def cpu_s(child: psutil.Process) -> float:
    times = child.cpu_times()
    return float(times.user + times.system)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def tiny_and_search(stack: BenchStack, base: int, runs: int, quick: bool) -> dict[str, object]:
    folder = stack.layout.directory
    (folder / "tiny.bin").write_bytes(
        b"--b\r\nContent-Type: application/dicom\r\nContent-Length: 1024\r\n\r\n" + bytes(1024) + b"\r\n--b--\r\n"
    )
    (folder / "series.json").write_text(json.dumps([_row(STUDY, SERIES)]))
    rows = [_row(f"{STUDY}.{number // 2}", f"{SERIES}.{number}") for number in range(100)]
    (folder / "rows.json").write_text(json.dumps(rows))
    client = stack.layout.pki / "radiologist.pem"
    number = 4_000 if quick else 20_000
    per_cpu: list[float] = []
    rates: list[float] = []
    p99: list[float] = []
    search_ms: dict[str, list[float]] = {"sees all": [], "filtered": [], "filtered, looked up": []}
    url_up = f"http://127.0.0.1:{base + 20}/dicom-web"
    with (
        nginx(stack, "trivial", base + 20, TRIVIAL, study=STUDY, tiny=TINY),
        proxy(stack, base + 30, "tiny", url_up, False) as (child, port),
        proxy(stack, base + 60, "anew", url_up, False, context_cache_s=0) as (anew, anew_port),
    ):
        url = f"https://127.0.0.1:{port}"
        ab(url + TINY, 1000, 8, client, ACCEPT)
        for _ in range(runs):
            begun = cpu_s(child)
            result = ab(url + TINY, number, 8, client, ACCEPT)
            per_cpu.append(number / (cpu_s(child) - begun))
            rates.append(result["per_s"])
            p99.append(result["p99_ms"])
            for what, who, measured, at in (
                ("sees all", "radiologist", child, port),
                ("filtered", "technologist", child, port),
                ("filtered, looked up", "technologist", anew, anew_port),
            ):
                begun = cpu_s(measured)
                target = f"https://127.0.0.1:{at}/dicom-web/series"
                ab(target, 500, 8, stack.layout.pki / f"{who}.pem", "application/dicom+json")
                search_ms[what].append((cpu_s(measured) - begun) / 500 * 1000)
        memory = child.memory_info().rss / 2**20
    return {
        "tiny requests per CPU second": spread(per_cpu),
        "tiny requests/s": spread(rates),
        "tiny p99 ms": spread(p99),
        **{f"search of 100 rows, {what}, CPU ms": spread(each) for what, each in search_ms.items()},
        "resident MiB afterwards": f"{memory:.0f}",
    }


def _row(study_uid: str, series_uid: str) -> dict[str, object]:
    """A series as an archive lists it, about 1 KiB."""
    return {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00080020": {"vr": "DA", "Value": ["20260101"]},
        "00080030": {"vr": "TM", "Value": ["080000"]},
        "00080050": {"vr": "SH", "Value": ["A1"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00080080": {"vr": "LO", "Value": ["North Hospital"]},
        "0008103E": {"vr": "LO", "Value": ["Thorax, native, 5 mm"]},
        "00081190": {"vr": "UR", "Value": [f"http://archive.example/studies/{study_uid}/series/{series_uid}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Winter^Anna"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": [study_uid]},
        "0020000E": {"vr": "UI", "Value": [series_uid]},
        "00200011": {"vr": "IS", "Value": [1]},
        "00201209": {"vr": "IS", "Value": [120]},
    }


def against_nginx(stack: BenchStack, base: int, runs: int, quick: bool) -> dict[str, object]:
    user, password = archive.credentials(stack.layout)
    auth = f"{user}:{password}"
    front = nginx(
        stack, "front", base + 40, FRONT, upstream=stack.ports.archive, auth=base64.b64encode(auth.encode()).decode()
    )
    client, ca = stack.layout.pki / "radiologist.pem", stack.layout.pki / "ca.crt"
    instance, large = _half_megabyte(), _large_study()
    number = 200 if quick else 1000
    rates: dict[str, list[float]] = {"direct": [], "nginx": [], "us": []}
    seconds: dict[str, list[float]] = {"direct": [], "nginx": [], "us": []}
    p99: list[float] = []
    with front, proxy(stack, base + 50, "orthanc", stack.archive_url, True) as (_, port):
        bases = {
            "direct": (f"http://127.0.0.1:{stack.ports.archive}", None, auth),
            "nginx": (f"https://127.0.0.1:{base + 40}", client, None),
            "us": (f"https://127.0.0.1:{port}", client, None),
        }
        for _ in track(range(runs), description="interleaved runs"):
            for name, (url, certificate, login) in bases.items():
                result = ab(url + instance, number, 8, certificate, ACCEPT, login)
                rates[name].append(result["per_s"])
                if name == "us":
                    p99.append(result["p99_ms"])
                seconds[name].append(curl(url + large, certificate, ca, login))
    median = statistics.median
    return {
        **{f"instance requests/s, {name}": spread(values) for name, values in rates.items()},
        "instance p99 ms, us": spread(p99),
        "instance, us / nginx": f"{median(rates['us']) / median(rates['nginx']):.2f}",
        **{f"study seconds, {name}": spread(values) for name, values in seconds.items()},
        "study, us / nginx": f"{median(seconds['us']) / median(seconds['nginx']):.2f}",
    }


def _large_study() -> str:
    return f"/dicom-web/studies/{study(LARGE).uid}"


def _half_megabyte() -> str:
    """The path of one instance of the large study: a 512 x 512 slice of 16 bit."""
    series = study(LARGE).series[0]
    return f"{_large_study()}/series/{series.uid}/instances/{series.instances[0].uid}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs and requests")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--only", choices=("tiny", "nginx"))
    options = parser.parse_args()
    runs = 3 if options.quick else 5
    ports = Ports.free()
    figures: dict[str, object] = {}
    say = Console(stderr=True).print
    with tempfile.TemporaryDirectory(prefix="dicomward-bench-") as folder:
        Path(folder).chmod(0o755)
        large = options.only != "tiny"
        with BenchStack(Path(folder), ports=ports, large_study=large, say=say) as stack:
            if options.only != "nginx":
                figures |= tiny_and_search(stack, ports.archive, runs, options.quick)
            if large:
                figures |= against_nginx(stack, ports.archive, runs, options.quick)
    if options.json:
        json.dump(figures, sys.stdout, indent=2)
        return
    table = Table("measured", "median (spread)")
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
