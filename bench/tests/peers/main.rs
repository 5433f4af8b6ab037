//! Web servers and proxies in the lab: the real ones and their stand-ins pass the same tests. All of it needs root; without it,
//! or without the program, a test is reported as ignored, by name.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use sha2::{Digest, Sha256};
use synward_bench::peers::{Haproxy, KernelHttp, Nginx, Proxy, Relay, Web, haproxy, nginx};
use synward_lab::{FrontWiring, Host, Lab, LabConfig};

/// Everybody's port.
const PORT: u16 = 80;
/// More than fits in any buffer on the way.
const LARGE: u64 = 16 * 1024 * 1024;

type StartWeb = fn(&Host) -> Result<Web>;
type StartProxy = fn(&Host, &[SocketAddr]) -> Result<Proxy>;

type WebTest = (&'static str, fn(StartWeb) -> Result<()>);
type ProxyTest = (&'static str, fn(StartProxy) -> Result<()>);

const WEB_TESTS: &[WebTest] = &[
    ("greets_with_the_name_of_its_host", greets),
    ("serves_large_files_and_keeps_uploads", transfers),
    ("keeps_connections_open", keeps_connections),
    ("knows_no_other_paths", knows_no_other_paths),
    ("ends_with_its_value", ends),
];

const PROXY_TESTS: &[ProxyTest] =
    &[("takes_backends_in_turn", takes_turns), ("carries_large_bodies", carries), ("needs_a_backend", needs_a_backend)];

fn main() -> ExitCode {
    let webs: [(&str, bool, StartWeb); 2] = [
        ("nginx", nginx::is_installed(), |host| Nginx::start(host, PORT, &[]).map(Web::Nginx)),
        ("kernel_http", true, |host| KernelHttp::start(host, PORT, &[0]).map(Web::Kernel)),
    ];
    let proxies: [(&str, bool, StartProxy); 2] = [
        ("haproxy", haproxy::is_installed(), |host, backends| {
            Haproxy::start(host, PORT, backends, &[0]).map(Proxy::Haproxy)
        }),
        ("relay", true, |host, backends| Relay::start(host, PORT, backends, &[]).map(Proxy::Relay)),
    ];
    let mut trials = Vec::new();
    for (system, installed, start) in webs {
        trials.extend(WEB_TESTS.iter().map(|(name, test)| trial(system, name, installed, move || test(start))));
    }
    for (system, installed, start) in proxies {
        trials.extend(PROXY_TESTS.iter().map(|(name, test)| trial(system, name, installed, move || test(start))));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(system: &str, name: &str, installed: bool, test: impl Fn() -> Result<()> + Send + 'static) -> Trial {
    let run = move || test().map_err(|error| format!("{error:?}").into());
    let ignored = !installed || !synward_lab::root_available();
    Trial::test(format!("{system}::{name}"), run).with_ignored_flag(ignored)
}

/// A front, a client, and two backends in one subnet.
fn lab() -> Result<Lab> {
    Ok(Lab::up(&LabConfig { attackers: 0, backends: 2, ..LabConfig::default() })?)
}

fn addresses(host: &Host) -> [IpAddr; 2] {
    [host.ipv4().into(), host.ipv6().into()]
}

fn url(address: IpAddr, path: &str) -> String {
    format!("http://{}{path}", SocketAddr::new(address, PORT))
}

/// What curl prints in the namespace of `host`.
fn curl(host: &Host, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = host.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]).args(arguments);
    let output = command.output().context("curl")?;
    ensure!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn greets(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let _webs = lab.backends().iter().map(start).collect::<Result<Vec<_>>>()?;
    for backend in lab.backends() {
        for address in addresses(backend) {
            let answer = String::from_utf8(curl(&lab.clients()[0], &[&url(address, "/")])?)?;
            ensure!(answer == format!("{}\n", backend.name()), "{answer:?} from {}", backend.name());
        }
    }
    Ok(())
}

fn transfers(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let (client, backend) = (&lab.clients()[0], &lab.backends()[0]);
    let web = start(backend)?;
    there_and_back(client, &web, backend.ipv4().into())
}

/// Fetches files of several sizes and uploads what came.
fn there_and_back(client: &Host, web: &Web, address: IpAddr) -> Result<()> {
    for bytes in [0, 1, LARGE] {
        let offered = web.site().offer(bytes)?;
        let body = curl(client, &[&url(address, &format!("/bytes/{bytes}"))])?;
        ensure!(body.len() as u64 == bytes && sha256(&body) == offered, "{} of {bytes} bytes came", body.len());
        upload(client, &body, &url(address, "/uploads/sent"))?;
        ensure!(web.site().digest_of_upload("sent")? == offered, "the upload of {bytes} bytes differs");
    }
    Ok(())
}

fn upload(client: &Host, body: &[u8], url: &str) -> Result<()> {
    let file = std::env::temp_dir().join(format!("{}-upload", client.namespace()));
    std::fs::write(&file, body)?;
    let sent = curl(client, &["--upload-file", &file.to_string_lossy(), url]);
    std::fs::remove_file(&file)?;
    sent.map(drop)
}

fn keeps_connections(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let backend = &lab.backends()[0];
    let _web = start(backend)?;
    let url = url(backend.ipv4().into(), "/");
    let connects = curl(&lab.clients()[0], &["--write-out", "%{num_connects}", &url, &url])?;
    let expected = format!("{name}\n1{name}\n0", name = backend.name());
    let seen = String::from_utf8(connects)?;
    ensure!(seen == expected, "{seen:?}");
    Ok(())
}

fn knows_no_other_paths(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let (client, backend) = (&lab.clients()[0], &lab.backends()[0]);
    let web = start(backend)?;
    for path in ["/bytes/5", "/uploads/never", "/bytes/../../log", "/other"] {
        let address = url(backend.ipv4().into(), path);
        let mut command = client.command("curl");
        command.args(["--silent", "--path-as-is", "--output", "/dev/null", "--write-out", "%{http_code}", &address]);
        let status = command.output()?.stdout;
        ensure!(matches!(&status[..], b"404" | b"400"), "{path}: {}", String::from_utf8_lossy(&status));
    }
    ensure!(web.site().digest_of_upload("never").is_err(), "an upload that never was");
    ensure!(web.site().digest_of_upload("../bytes/5").is_err(), "a place that is none of uploads");
    Ok(())
}

/// Nothing listens and nothing is left on disk afterwards, and the next one starts in the same place.
fn ends(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let (client, backend) = (&lab.clients()[0], &lab.backends()[0]);
    for _ in 0..2 {
        let web = start(backend)?;
        curl(client, &[&url(backend.ipv4().into(), "/")])?;
        ensure!(left_behind(backend)?, "where is its folder?");
        drop(web);
        ensure!(curl(client, &[&url(backend.ipv4().into(), "/")]).is_err(), "something still answers");
        ensure!(!left_behind(backend)?, "its folder is left");
    }
    Ok(())
}

fn left_behind(host: &Host) -> Result<bool> {
    let entries = std::env::temp_dir().read_dir()?.flatten();
    let of_host = |path: &Path| path.to_string_lossy().contains(&format!("{}-", host.namespace()));
    Ok(entries.map(|entry| entry.path()).any(|path| of_host(&path)))
}

/// Two web servers, and who answers a client that asks ten times at each address of the proxy.
fn takes_turns(start: StartProxy) -> Result<()> {
    for wiring in [FrontWiring::One, FrontWiring::PerRole] {
        let lab = Lab::up(&LabConfig { attackers: 0, backends: 2, wiring, ..LabConfig::default() })?;
        let _webs = webs(&lab)?;
        let backends = [lab.backends()[0].ipv4().into(), lab.backends()[1].ipv6().into()];
        let _proxy = start(lab.front(), &backends.map(|address: IpAddr| SocketAddr::new(address, PORT)))?;
        for address in addresses(lab.front()) {
            let mut answers = Vec::new();
            for _ in 0..10 {
                answers.push(String::from_utf8(curl(&lab.clients()[0], &[&url(address, "/")])?)?);
            }
            answers.sort();
            let expected = [["backend0\n"; 5], ["backend1\n"; 5]].concat();
            ensure!(answers == expected, "{answers:?}");
        }
    }
    Ok(())
}

fn webs(lab: &Lab) -> Result<Vec<Web>> {
    lab.backends().iter().map(|backend| Web::start(backend, PORT, &[])).collect()
}

fn carries(start: StartProxy) -> Result<()> {
    let lab = lab()?;
    let backend = &lab.backends()[0];
    let web = Web::start(backend, PORT, &[])?;
    let _proxy = start(lab.front(), &[SocketAddr::new(backend.ipv4().into(), PORT)])?;
    there_and_back(&lab.clients()[0], &web, lab.front().ipv4().into())
}

fn needs_a_backend(start: StartProxy) -> Result<()> {
    let lab = lab()?;
    let refused = start(lab.front(), &[]).err().context("a proxy without a backend")?;
    ensure!(refused.to_string().contains("at least one backend"), "{refused}");
    Ok(())
}
