//! The lab, and what stands in it whatever is measured.

use crate::{FRONT, OTHERS};
use anyhow::{Result, ensure};
use std::net::{SocketAddr, SocketAddrV4};
use synward_bench::far_end::FarEnd;
use synward_bench::flood::SynForm;
use synward_bench::load::widen_ports;
use synward_bench::peers::KernelEcho;
use synward_bench::processes;
use synward_bench::validator::Expectation;
use synward_ebpf::PassProgram;
use synward_lab::{End, FrontWiring, Host, Interface, Lab, LabConfig, Offloads, Role};

/// Where the front and the backend echo.
pub const ECHO: u16 = 7;
/// Of the floods.
pub const SEED: u64 = 1;

/// The lab. What it holds ends before it does.
pub struct Bed {
    pub far_end: FarEnd,
    _backend: KernelEcho,
    _passing: Vec<PassProgram>,
    pub lab: Lab,
}

impl Bed {
    /// Builds a lab where every interface is polled by a thread of its own, so that all work is somebody's and has its place.
    pub fn up() -> Result<Self> {
        let before = processes::named("napi/")?;
        // Without a program, GRO is what makes the front's interfaces poll themselves, as hardware does.
        let front =
            End { offloads: Offloads { gro: true, ..Offloads::default() }, threaded_napi: true, xdp_pass: false };
        let far = End { threaded_napi: true, ..End::default() };
        let lab = Lab::up(&LabConfig { backends: 1, wiring: FrontWiring::Direct, front, far, ..LabConfig::default() })?;
        let (client, backend) = (&lab.clients()[0], &lab.backends()[0]);
        let passing = [client, backend].map(|host| host.enter(|| PassProgram::attach(host.interface())));
        let passing = passing.into_iter().map(|attached| Ok(attached??)).collect::<Result<_>>()?;
        let expectation = expectation(&lab, SynForm::Client, false);
        let mac = lab.front_towards(Role::Attacker).mac();
        let far_end = FarEnd::start(&lab.attackers()[0], mac, &expectation, &[OTHERS])?;
        place_polling(&before, lab.front().interfaces().len())?;
        widen_ports(client)?;
        widen_ports(lab.front())?;
        settle_kernel(lab.front())?;
        let echo = KernelEcho::start(backend, ECHO, &[OTHERS])?;
        Ok(Self { far_end, _backend: echo, _passing: passing, lab })
    }

    pub fn attacker(&self) -> &Host {
        &self.lab.attackers()[0]
    }

    pub fn client(&self) -> &Host {
        &self.lab.clients()[0]
    }

    /// The front's interface that is flooded.
    pub fn flooded(&self) -> &Interface {
        self.lab.front_towards(Role::Attacker)
    }

    /// Where clients connect, and floods go.
    pub fn target(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.lab.front().ipv4(), ECHO)
    }

    /// Where a proxy's backend is.
    pub fn backend(&self) -> SocketAddr {
        SocketAddr::new(self.lab.backends()[0].ipv4().into(), ECHO)
    }

    /// Judges answers to SYNs of this form from now on; those of the kernel may have unfinished checksums.
    pub fn expect(&mut self, form: SynForm, unfinished_checksums: bool) -> Result<()> {
        self.far_end.expect(&expectation(&self.lab, form, unfinished_checksums))
    }
}

fn expectation(lab: &Lab, form: SynForm, unfinished_checksums: bool) -> Expectation {
    Expectation { target: SocketAddrV4::new(lab.front().ipv4(), ECHO), seed: SEED, form, unfinished_checksums }
}

/// The threads that poll the front's interfaces go to its core, all others to the other.
fn place_polling(before: &[u32], interfaces: usize) -> Result<()> {
    let mut threads = processes::named("napi/")?;
    threads.retain(|id| !before.contains(id));
    let is_front = |id: &u32| processes::name_of(*id).is_some_and(|name| name.starts_with("napi/front"));
    let (fronts, others): (Vec<_>, Vec<_>) = threads.iter().copied().partition(is_front);
    ensure!(fronts.len() == interfaces, "{} threads poll the {interfaces} interfaces of the front", fronts.len());
    processes::keep_on(&fronts, &[FRONT])?;
    processes::keep_on(&others, &[OTHERS])?;
    processes::run_before_others(&threads)
}

/// The kernel at its best under a flood: cookies for all, so that no half-open connection is ever kept, and room in its accept queues.
fn settle_kernel(front: &Host) -> Result<()> {
    for (name, value) in
        [("net.ipv4.tcp_syncookies", "2"), ("net.ipv4.tcp_max_syn_backlog", "4096"), ("net.core.somaxconn", "4096")]
    {
        front.set_sysctl(name, value)?;
    }
    Ok(())
}
