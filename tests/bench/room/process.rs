//! The program itself, on a pseudo terminal: how soon it shows something, and what it costs.
#![expect(clippy::disallowed_methods, reason = "the program is watched from outside, and left alone meanwhile")]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fullsend::bus::SharedBus;
use fullsend::contracts::ChannelName;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::{FLOOD, Line, count, line, origin, say};

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

struct Screen {
    text: Arc<Mutex<String>>,
    written: Arc<AtomicU64>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    _master: Box<dyn MasterPty + Send>,
    began: Instant,
}

impl Screen {
    fn open(home: &Path, url: Option<&str>) -> Self {
        let size = PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_fullsend"));
        command.args(["--home", home.to_str().unwrap(), "attach"]);
        command.env_clear();
        let home = home.to_str().unwrap();
        for (name, value) in [("HOME", home), ("TERM", "xterm-256color"), ("USER", "bench")] {
            command.env(name, value);
        }
        if let Some(url) = url {
            command.env("REDIS_URL", url);
        }
        command.cwd(home);
        let began = Instant::now();
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let keys = pty.master.take_writer().unwrap();
        let (text, written) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicU64::new(0)));
        let (into, counted) = (Arc::clone(&text), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                counted.fetch_add(u64::try_from(read).unwrap(), Ordering::Relaxed);
                let mut text = into.lock().unwrap();
                if text.len() < 1 << 20 {
                    text.push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
            }
        });
        Self { text, written, child, keys, _master: pty.master, began }
    }

    /// Waits for these words in what was written, and says how long after the start.
    fn shows(&self, words: &str) -> Duration {
        while !self.text.lock().unwrap().contains(words) {
            assert!(self.began.elapsed() < PATIENCE, "`{words}` never came");
            std::thread::sleep(Duration::from_micros(200));
        }
        self.began.elapsed()
    }

    /// Seconds of processor time so far.
    fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.process_id().unwrap())).unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        let field = |at: usize| after.split_whitespace().nth(at).unwrap().parse::<f64>().unwrap();
        // In ticks of a hundredth of a second.
        (field(11) + field(12)) / 100.0
    }

    /// Most megabytes of memory so far.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.process_id().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// From the start of the process to its first frame.
pub(crate) fn start(home: &Path, url: Option<&str>, engine: &str, reach: &str) -> Line {
    // The first start finds the program on the disk, not in memory.
    Screen::open(home, url).shows("FULLSEND");
    let times: Vec<Duration> = (0..10).map(|_| Screen::open(home, url).shows("FULLSEND")).collect();
    line("start to first frame", engine, crate::times(&times), reach)
}

/// What it does while nothing happens.
pub(crate) fn idle(home: &Path, url: &str) -> Vec<Line> {
    let mut screen = Screen::open(home, Some(url));
    screen.shows("FULLSEND");
    screen.keys.write_all(b"\r").unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let (processor, written) = (screen.processor(), screen.written());
    std::thread::sleep(Duration::from_secs(20));
    let share = (screen.processor() - processor) / 20.0 * 100.0;
    let bytes = (screen.written() - written) / 20;
    vec![
        line("idle: processor", "redis", format!("{share:.2} % of a core"), "<= 0.5 %"),
        line("idle: written (the clock)", "redis", format!("{bytes} bytes a second"), "no repaint"),
    ]
}

/// What it costs while messages flood in, and whether one is lost.
pub(crate) async fn flooded(home: &Path, url: &str, bus: &SharedBus, seconds: u64) -> Vec<Line> {
    let mut screen = Screen::open(home, Some(url));
    screen.shows("FULLSEND");
    screen.keys.write_all(b"\r").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = bus.inspect(ChannelName::DiscordRaw).await.unwrap().length;
    let (processor, began, origin) = (screen.processor(), Instant::now(), origin());
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    let mut said = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        beat.tick().await;
        say(bus, &origin, said, said + FLOOD / 100).await;
        said += FLOOD / 100;
    }
    let took = began.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let share = (screen.processor() - processor) / took * 100.0;
    let kept = bus.inspect(ChannelName::DiscordRaw).await.unwrap().length - before;
    let lost = u64::try_from(said).unwrap().saturating_sub(kept);
    // The last message must have come on the screen.
    let rate = count(said) / took;
    let what = format!("flood of {rate:.0} messages/s for {took:.0} s");
    vec![
        line(&format!("{what}: processor"), "redis", format!("{share:.1} % of a core"), "<= 30 %"),
        line(&format!("{what}: memory"), "redis", format!("{:.0} MB", screen.memory()), "<= 120 MB"),
        line(&format!("{what}: lost from the stream"), "redis", lost.to_string(), "0"),
    ]
}
