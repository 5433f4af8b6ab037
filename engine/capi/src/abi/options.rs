//! Options and what else is known of a socket.
