//! What stands behind the XDP programs: who raises the shield of a listener and when.

pub mod policy;
