//! Loom's atomics, and queues of them, by the names that the sources use.

use atomic::{AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::sync::Mutex;

/// As crossbeam's, as far as order goes: what was done before a push is seen after its pop. Threads take turns at each call.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    capacity: usize,
    /// Calls so far.
    turns: AtomicUsize,
    /// Locked within a turn only.
    waiting: Mutex<VecDeque<T>>,
}

#[allow(dead_code, reason = "a source uses some of it")]
impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, turns: AtomicUsize::new(0), waiting: Mutex::default() }
    }

    fn turn<R>(&self, act: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        self.turns.fetch_add(1, Ordering::AcqRel);
        act(&mut self.waiting.try_lock().expect("one thread at a time"))
    }

    pub(crate) fn push(&self, one: T) -> Result<(), T> {
        self.turn(|waiting| {
            if waiting.len() == self.capacity {
                return Err(one);
            }
            waiting.push_back(one);
            Ok(())
        })
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.turn(VecDeque::pop_front)
    }

    pub(crate) fn len(&self) -> usize {
        self.turn(|waiting| waiting.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// As `std::sync::atomic`.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

    /// Loom's, with what it lacks: `try_update`.
    macro_rules! with_try_update {
        ($name:ident, $of:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code, reason = "a source uses some of it")]
            impl $name {
                pub(crate) fn new(value: $of) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn try_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($of) -> Option<$of>,
                ) -> Result<$of, $of> {
                    self.0.fetch_update(set, fetch, update)
                }
            }

            impl std::ops::Deref for $name {
                type Target = loom::sync::atomic::$name;

                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }
        };
    }

    with_try_update!(AtomicU16, u16);
    with_try_update!(AtomicU32, u32);
}

/// As `rtrb`, as far as order goes: each end publishes its place with release and reads the other's with acquire.
pub(crate) mod spsc {
    use super::atomic::{AtomicUsize, Ordering};
    use std::cell::OnceCell;
    use std::sync::{Arc, Mutex};

    #[derive(Debug)]
    struct Ring<T> {
        /// By place modulo their number. Each is locked by one end at a time: by whose it is.
        slots: Vec<Mutex<Option<T>>>,
        /// Popped so far.
        head: AtomicUsize,
        /// Pushed so far.
        tail: AtomicUsize,
    }

    impl<T> Ring<T> {
        fn swap(&self, place: usize, message: Option<T>) -> Option<T> {
            let slot = &self.slots[place % self.slots.len()];
            std::mem::replace(&mut *slot.try_lock().expect("one end at a time"), message)
        }
    }

    #[derive(Debug)]
    pub(crate) struct RingBuffer;

    #[derive(Debug)]
    pub(crate) struct Producer<T>(Arc<Ring<T>>, usize);

    #[derive(Debug)]
    pub(crate) struct Consumer<T> {
        ring: Arc<Ring<T>>,
        popped: usize,
        /// What was looked at, and not popped yet.
        front: OnceCell<T>,
    }

    #[derive(Debug)]
    pub(crate) enum PushError<T> {
        Full(T),
    }

    /// There is nothing.
    #[derive(Debug)]
    pub(crate) struct Empty;

    impl RingBuffer {
        #[allow(clippy::new_ret_no_self, reason = "as rtrb has it")]
        pub(crate) fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
            let slots = (0..capacity).map(|_| Mutex::new(None)).collect();
            let ring = Arc::new(Ring { slots, head: AtomicUsize::new(0), tail: AtomicUsize::new(0) });
            (Producer(Arc::clone(&ring), 0), Consumer { ring, popped: 0, front: OnceCell::new() })
        }
    }

    impl<T> Producer<T> {
        pub(crate) fn is_full(&self) -> bool {
            self.1 - self.0.head.load(Ordering::Acquire) == self.0.slots.len()
        }

        pub(crate) fn push(&mut self, message: T) -> Result<(), PushError<T>> {
            if self.is_full() {
                return Err(PushError::Full(message));
            }
            self.0.swap(self.1, Some(message));
            self.1 += 1;
            self.0.tail.store(self.1, Ordering::Release);
            Ok(())
        }
    }

    impl<T> Consumer<T> {
        pub(crate) fn peek(&self) -> Result<&T, Empty> {
            if self.front.get().is_none() && self.ring.tail.load(Ordering::Acquire) == self.popped {
                return Err(Empty);
            }
            Ok(self.front.get_or_init(|| self.ring.swap(self.popped, None).expect("what was pushed")))
        }

        pub(crate) fn pop(&mut self) -> Result<T, Empty> {
            self.peek()?;
            let message = self.front.take().ok_or(Empty)?;
            self.popped += 1;
            self.ring.head.store(self.popped, Ordering::Release);
            Ok(message)
        }
    }
}
