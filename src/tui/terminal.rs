//! The terminal: taken, given back, whatever happens.
//!
//! Owns its modes: each that was taken is given back, in reverse, once: at the end, after a panic, before the shell or $EDITOR gets it.
//! Must never write to it while it is somebody else's.

pub mod editor;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use tokio_util::sync::CancellationToken;

use super::app::told::{Telling, Ways};

/// Whether the screen is ours now, so that whoever wants to print must give it back first.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the mouse is ours now.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// Whether the window's title is ours now.
static TITLED: AtomicBool = AtomicBool::new(false);
/// How long a terminal may take nothing while the room ends.
const TAKES: Duration = Duration::from_secs(5);
/// The thread that draws.
static DRAWS: Mutex<Option<ThreadId>> = Mutex::new(None);

/// Holds the terminal; gives it back when it is dropped.
#[derive(Debug)]
#[must_use = "the terminal is given back when this is dropped"]
pub struct Guard(());

impl Guard {
    /// Takes the terminal: raw mode, the other screen, paste as a whole.
    ///
    /// # Errors
    /// Where the terminal cannot do that; it is then as it was.
    pub fn take() -> io::Result<Self> {
        *DRAWS.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
        take()?;
        Ok(Self(()))
    }

    /// Takes the terminal again after [`give_back`].
    ///
    /// # Errors
    /// As [`Guard::take`].
    pub fn retake(&self) -> io::Result<()> {
        take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let taken = execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide);
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Gives the terminal back, if it is ours. Where it is gone there is nothing left to give.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    mouse(false).ok();
    if TITLED.swap(false, Ordering::SeqCst) {
        // Terminals that put no title aside show an empty one until the shell sets its own.
        execute!(io::stdout(), SetTitle("")).ok();
        io::stdout().write_all(b"\x1b[23;2t").ok();
    }
    execute!(io::stdout(), cursor::Show, DisableBracketedPaste, LeaveAlternateScreen).ok();
    disable_raw_mode().ok();
    io::stdout().flush().ok();
}

/// Tells whoever looks elsewhere: the bell and a notification (OSC 9), or the window's title. The words must be harmless.
///
/// # Errors
/// Where the terminal is gone.
pub fn tell(telling: &Telling, ways: Ways) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match telling {
        Telling::News(words) => {
            if ways.notification {
                write!(out, "\x1b]9;{words}\x1b\\")?;
            }
            if ways.bell {
                out.write_all(b"\x07")?;
            }
        }
        Telling::Title(title) => {
            // The former title is put aside, to be taken back when the terminal is given back.
            if !TITLED.swap(true, Ordering::SeqCst) {
                out.write_all(b"\x1b[22;2t")?;
            }
            execute!(out, SetTitle(title))?;
        }
    }
    out.flush()
}

/// A terminal that takes nothing any more keeps nobody from ending: whoever waits for it when `end` was asked for, and a while longer,
/// is ended with the process. What was being handled then is handled again at the next start. Ends when it is dropped.
pub async fn end_stuck(end: CancellationToken) {
    end.cancelled().await;
    tokio::time::sleep(TAKES).await;
    tracing::warn!("the terminal takes nothing any more; the room is cut off");
    // That needs no room in the terminal.
    disable_raw_mode().ok();
    std::process::exit(1);
}

/// Takes the mouse, or gives it back.
///
/// # Errors
/// Where the terminal is gone.
pub fn mouse(wanted: bool) -> io::Result<()> {
    if MOUSE.swap(wanted, Ordering::SeqCst) == wanted {
        return Ok(());
    }
    if wanted { execute!(io::stdout(), EnableMouseCapture) } else { execute!(io::stdout(), DisableMouseCapture) }
}

/// Makes way for the report of a panic. False where it must not be printed: the screen goes on, because another thread panicked than
/// the one that draws, and the log has the report.
pub fn make_way() -> bool {
    if !TAKEN.load(Ordering::SeqCst) {
        return true;
    }
    let draws = *DRAWS.lock().unwrap_or_else(PoisonError::into_inner);
    if draws != Some(std::thread::current().id()) {
        return false;
    }
    give_back();
    true
}
