//! Values bound at first sight.

use crate::script::{Atom, Expr, PeerId, ValueName};
use std::collections::HashMap;

/// The values seen so far. Each belongs to the peer on whose line it was first seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    known: HashMap<(PeerId, String), u32>,
    /// What every peer has from the start.
    given: HashMap<&'static str, u32>,
}

impl Values {
    /// None but these, which are every peer's.
    pub fn given(values: impl IntoIterator<Item = (&'static str, u32)>) -> Self {
        Self { known: HashMap::new(), given: values.into_iter().collect() }
    }

    /// The value of `name` on a line of `peer`.
    pub fn get(&self, peer: PeerId, name: &ValueName) -> Option<u32> {
        let own = self.known.get(&(name.peer.unwrap_or(peer), name.name.clone()));
        own.or_else(|| self.given.get(name.name.as_str())).copied()
    }

    /// Gives `name` its value.
    pub fn bind(&mut self, peer: PeerId, name: &ValueName, value: u32) {
        self.known.insert((name.peer.unwrap_or(peer), name.name.clone()), value);
    }

    /// Computes a sum in the 32-bit circle; `Err` names the value that has not been seen yet.
    pub fn eval<'e>(&self, peer: PeerId, expr: &'e Expr) -> Result<u32, &'e ValueName> {
        let Expr::Sum(terms) = expr else { return Ok(0) };
        let mut sum = 0u32;
        for term in terms {
            let value = match &term.atom {
                Atom::Number(number) => *number,
                Atom::Name(name) => self.get(peer, name).ok_or(name)?,
            };
            sum = if term.negative { sum.wrapping_sub(value) } else { sum.wrapping_add(value) };
        }
        Ok(sum)
    }
}
