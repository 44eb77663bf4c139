//! A line to PostgreSQL, or to a server, that can be cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

/// The state of the line.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Line {
    Open,
    /// What comes back is lost.
    Forgetful,
    /// Connections stand and carry nothing.
    Silent,
    /// Connections are closed, new ones as soon as they stand: a load balancer with nothing behind it.
    Cut,
    /// Connections are closed, new ones refused.
    Refused,
    Gone,
}

/// Passes connections on to an address while its line is open.
pub struct Proxy {
    pub address: String,
    line: Arc<AtomicU8>,
}

impl Proxy {
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let line = Arc::new(AtomicU8::new(Line::Open as u8));
        let (target, own_address, state) = (target.to_owned(), address.clone(), line.clone());
        thread::spawn(move || listen(listener, &own_address, &target, &state));
        Self { address, line }
    }

    pub fn set(&self, line: Line) {
        self.line.store(line as u8, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Line::Gone);
    }
}

fn listen(listener: TcpListener, own_address: &str, target: &str, line: &Arc<AtomicU8>) {
    let mut listener = Some(listener);
    loop {
        let state = line.load(Ordering::Relaxed);
        if state == Line::Gone as u8 {
            return;
        }
        if state == Line::Refused as u8 {
            listener = None;
            thread::sleep(TICK);
            continue;
        }
        let open =
            listener.get_or_insert_with(|| TcpListener::bind(own_address).expect("its port is free again"));
        open.set_nonblocking(true).expect("a socket option");
        match open.accept() {
            Ok((stream, _)) => connect(stream, target, line),
            Err(_) => thread::sleep(TICK),
        }
    }
}

fn connect(near: TcpStream, target: &str, line: &Arc<AtomicU8>) {
    let Ok(far) = TcpStream::connect(target) else {
        return;
    };
    for (from, to, is_back) in [(&near, &far, false), (&far, &near, true)] {
        let (from, to, line) =
            (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"), line.clone());
        thread::spawn(move || carry(from, to, is_back, &line));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_back: bool, line: &AtomicU8) {
    let mut buffer = [0; 16 * 1024];
    let _ = from.set_nonblocking(false);
    let _ = from.set_read_timeout(Some(TICK));
    loop {
        let state = line.load(Ordering::Relaxed);
        if state == Line::Silent as u8 {
            thread::sleep(TICK);
        } else if state == Line::Open as u8 || state == Line::Forgetful as u8 {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) if is_back && state == Line::Forgetful as u8 => {}
                Ok(length) => {
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        } else {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
