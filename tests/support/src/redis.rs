//! A Redis server of the test's very own, on a free port, to be killed, frozen and started again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use gom_actors::redis::RedisOptions;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::port::free_port;

const PATIENCE: Duration = Duration::from_secs(20);
/// A port that was free a moment ago may have been taken since.
const ATTEMPTS: usize = 5;

/// Ends the server when our end of the pipe is closed, which happens however we end. Its first line is the
/// server's process id. Started again, the server finds what it had: it writes down every change.
const KEEPER: &str = "
    redis-server --port \"$1\" --bind 127.0.0.1 --dir \"$2\" --save '' --appendonly yes --appendfsync no \
        --daemonize no >\"$2/log\" 2>&1 &
    server=$!
    echo \"$server\"
    read -r _
    kill -9 \"$server\"";

/// A Redis with nothing in it, which ends with the value. Not being able to start it is a panic.
#[derive(Debug)]
pub struct TestRedis {
    folder: tempfile::TempDir,
    port: u16,
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    shell: Child,
    /// Held: its end is the server's end.
    _leash: ChildStdin,
    server: Pid,
}

impl TestRedis {
    pub fn start() -> TestRedis {
        let folder = tempfile::tempdir().expect("a folder can be made");
        for _ in 0..ATTEMPTS {
            let port = free_port();
            if let Some(keeper) = begin(port, &folder) {
                return TestRedis {
                    folder,
                    port,
                    keeper: Some(keeper),
                };
            }
        }
        let said = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("no Redis for the test; scripts/test installs redis-server. It said: {said}");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For a store's settings.
    pub fn options(&self) -> RedisOptions {
        RedisOptions::new("127.0.0.1", self.port)
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            let _ = kill_process(keeper.server, Signal::KILL);
            drop(keeper._leash);
            let _ = keeper.shell.wait();
        }
    }

    /// Starts it after a `kill`, on the same port and with what it had.
    pub fn restart(&mut self) {
        self.kill();
        // On a busy machine the first may not answer in time.
        self.keeper = (0..ATTEMPTS).find_map(|_| begin(self.port, &self.folder));
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(self.keeper.is_some(), "Redis does not start again: {log}");
    }

    /// Holds the server: connections stay open, and nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets time pass for the keys of a database, as if they had been written that much earlier: what expires meanwhile is gone.
    pub fn advance(&self, database: u8, time: Duration) {
        const SCRIPT: &str = "for _, key in ipairs(redis.call('keys', '*')) do \
             local left = redis.call('pttl', key) \
             if left >= 0 then redis.call('pexpire', key, left - ARGV[1]) end end";
        let (database, time) = (database.to_string(), time.as_millis().to_string());
        let commands = command(&["SELECT", &database]) + &command(&["EVAL", SCRIPT, "0", &time]);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it is up");
        let timeout = stream.set_read_timeout(Some(PATIENCE));
        timeout.expect("a timeout can be set");
        stream.write_all(commands.as_bytes()).expect("it is up");
        let mut replies = BufReader::new(stream).lines();
        for expected in ["+OK", "$-1"] {
            let reply = replies.next().expect("a reply").expect("it answers");
            assert_eq!(reply, expected);
        }
    }

    fn signal(&self, signal: Signal) {
        let keeper = self.keeper.as_ref().expect("it is up");
        kill_process(keeper.server, signal).expect("it can be signalled");
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command as the protocol has it.
fn command(words: &[&str]) -> String {
    let words = words.iter();
    let count = words.len();
    words.fold(format!("*{count}\r\n"), |text, word| {
        format!("{text}${}\r\n{word}\r\n", word.len())
    })
}

fn begin(port: u16, folder: &tempfile::TempDir) -> Option<Keeper> {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(KEEPER)
        .arg("gom-test-redis")
        .arg(port.to_string())
        .arg(folder.path());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut shell = command.spawn().expect("a shell can be run");
    let leash = shell.stdin.take().expect("it was piped");
    let mut line = String::new();
    let output = shell.stdout.take().expect("it was piped");
    let read = BufReader::new(output).read_line(&mut line);
    let Some(server) = read
        .ok()
        .and_then(|_| line.trim().parse().ok())
        .and_then(Pid::from_raw)
    else {
        drop(leash);
        let _ = shell.wait();
        return None;
    };
    let mut keeper = Keeper {
        shell,
        _leash: leash,
        server,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && test_kill_process(server).is_ok() {
        if answers(&address).is_ok_and(|answers| answers) {
            return Some(keeper);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(keeper._leash);
    let _ = keeper.shell.wait();
    None
}

/// Whether the server serves: while it reads what it had, it answers with errors.
fn answers(address: &SocketAddr) -> std::io::Result<bool> {
    let patience = Duration::from_millis(500);
    let mut stream = TcpStream::connect_timeout(address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"+PONG")
}
