//! The terminal: taken, given back, whatever happens.
//!
//! Owns its modes: each that was taken is given back, in reverse, once: at the end, after a panic, before the shell or $EDITOR gets it.
//! Must never write to it while it is somebody else's.

pub mod editor;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};

/// Whether the screen is ours now, so that whoever wants to print must give it back first.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the mouse is ours now.
static MOUSE: AtomicBool = AtomicBool::new(false);
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
    execute!(io::stdout(), cursor::Show, DisableBracketedPaste, LeaveAlternateScreen).ok();
    disable_raw_mode().ok();
    io::stdout().flush().ok();
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
