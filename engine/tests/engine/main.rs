//! Whole engines on ports in memory, in virtual time: no kernel, no root, no sleeping.

mod accept;
mod bed;
mod fairness;
mod fleet;
mod isolation;
mod life;
mod loss;
mod mutations;
mod observing;
mod orphans;
mod path_mtu;
mod peer;
mod readiness;
mod replay;
mod scale;
mod shield;
mod splice;
mod strangers;
mod threads;
mod time;
mod vlan;
