//! What threads share memory by. The models in `engine/models` compile the sources that name it with loom's in its place.

pub(crate) use std::sync::atomic;
