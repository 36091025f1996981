//! Addresses that nobody has, for programs that are told where to listen.

use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that a kernel gives to whoever asks for any (Linux: from 32,768 on): until the program listens there, another test
/// would be given it.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Each is given once in this process, and other processes of tests begin elsewhere.
pub(crate) fn free<const N: usize>() -> [SocketAddr; N] {
    [(); N].map(|()| {
        loop {
            let offset = process::id().wrapping_mul(97).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(FIRST + offset).unwrap()));
            if TcpListener::bind(address).is_ok() {
                return address;
            }
        }
    })
}
