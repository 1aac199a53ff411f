//! Pictures: what was drawn, as SVG or as text.
//!
//! Pure: the same cells are the same picture. Frames and blocks are drawn as lines and rectangles, which join whatever the font is; the rest
//! is text, in runs that are as wide as their cells. Must never let a text out that is not escaped.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use crossterm::event::KeyEvent;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use thiserror::Error;
use unicode_width::UnicodeWidthStr;

use super::app::{About, Kept, Model, Msg, Now, update};
use super::keys::{Chord, Keymap};
use super::screens::Screen;
use super::store::{Caps, Chain, Store};
use super::theme;
use crate::contracts::untrusted::sanitize_line;

/// Since when the room is open in a picture: long enough that nothing is just beginning.
const OPEN: Duration = Duration::from_mins(1);
/// A cell in pixels.
const CELL: (u32, u32) = (9, 19);
/// Pixels around the screen.
const AROUND: u32 = 10;
/// Above the line that letters stand on.
const BASE: u32 = 14;
const FONT: &str = "'DejaVu Sans Mono','JetBrains Mono','Cascadia Mono',Menlo,Consolas,monospace";
/// What a terminal without a theme has.
const PLAIN: (u32, u32) = (0x00d8_d8d8, 0x0012_1212);
/// The sixteen colours of terminals, as xterm has them.
const SIXTEEN: [u32; 16] = [
    0x0000_0000,
    0x00cd_0000,
    0x0000_cd00,
    0x00cd_cd00,
    0x0000_00ee,
    0x00cd_00cd,
    0x0000_cdcd,
    0x00e5_e5e5,
    0x007f_7f7f,
    0x00ff_0000,
    0x0000_ff00,
    0x00ff_ff00,
    0x005c_5cff,
    0x00ff_00ff,
    0x0000_ffff,
    0x00ff_ffff,
];

/// What a picture shows.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The screen.
    pub screen: Screen,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The name of a shipped theme.
    pub theme: &'a str,
    /// Keys that are pressed first, with spaces between.
    pub press: &'a str,
}

/// What cannot be shown.
#[derive(Debug, Error)]
pub enum NoScene {
    /// There is no such theme.
    #[error("there is no theme `{0}`; `fullsend themes` shows them")]
    Theme(String),
    /// That is no key.
    #[error("`{0}` is no key; `fullsend keys` shows how they are written")]
    Key(String),
}

/// A room with this in it, as it is at this time.
///
/// # Errors
/// Where there is no such theme or key.
pub fn model(about: About, store: Store, at: DateTime<Utc>, scene: &Scene<'_>) -> Result<Model, NoScene> {
    let theme = theme::shipped(scene.theme).ok_or_else(|| NoScene::Theme(sanitize_line(scene.theme, 40)))?;
    let kept = Kept { welcomed: env!("CARGO_PKG_VERSION").to_owned(), screen: scene.screen, ..Kept::default() };
    let mut model = Model::new(about, Keymap::default(), vec![theme], kept, Caps::DEFAULT);
    model.trace = store.chain.as_ref().map(Chain::trace);
    model.store = store;
    update(&mut model, Msg::Resize(scene.size.0, scene.size.1));
    update(&mut model, Msg::Now(Now { wall: at, open: OPEN }));
    for key in scene.press.split_whitespace() {
        let chord: Chord = key.parse().map_err(|_| NoScene::Key(sanitize_line(key, 40)))?;
        update(&mut model, Msg::Key(KeyEvent::new(chord.code, chord.held)));
    }
    Ok(model)
}

/// The cells of the model's frame, drawn as on a terminal of its size.
///
/// # Errors
/// Where it cannot be drawn.
pub fn cells(model: &Model) -> std::io::Result<Buffer> {
    let mut terminal = Terminal::new(TestBackend::new(model.area.width, model.area.height))
        .map_err(|err| std::io::Error::other(err.to_string()))?;
    terminal.draw(|frame| super::draw::draw(frame, model)).map_err(|err| std::io::Error::other(err.to_string()))?;
    Ok(terminal.backend().buffer().clone())
}

/// What can be read, line by line.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let line: String = symbols(buffer, y).map(|(_, cell)| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The cells of a row that hold something: not those behind a wide character.
fn symbols(buffer: &Buffer, y: u16) -> impl Iterator<Item = (u16, &Cell)> {
    let mut behind = 0;
    (buffer.area.left()..buffer.area.right()).filter_map(move |x| {
        if behind > 0 {
            behind -= 1;
            return None;
        }
        let cell = buffer.cell((x, y))?;
        behind = cell.symbol().width().saturating_sub(1);
        Some((x, cell))
    })
}

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    ink: u32,
    ground: u32,
    modifier: Modifier,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let (ink, ground) = (rgb(cell.fg, PLAIN.0), rgb(cell.bg, PLAIN.1));
        let is_reversed = cell.modifier.contains(Modifier::REVERSED);
        let (ink, ground) = if is_reversed { (ground, ink) } else { (ink, ground) };
        let shown = Modifier::BOLD | Modifier::DIM | Modifier::ITALIC | Modifier::UNDERLINED | Modifier::CROSSED_OUT;
        Self { ink, ground, modifier: cell.modifier & shown }
    }

    /// As attributes of a text.
    fn css(self) -> String {
        let mut css = format!("fill:#{:06x}", self.ink);
        for (modifier, words) in [
            (Modifier::BOLD, ";font-weight:bold"),
            (Modifier::DIM, ";opacity:.65"),
            (Modifier::ITALIC, ";font-style:italic"),
            (Modifier::UNDERLINED, ";text-decoration:underline"),
            (Modifier::CROSSED_OUT, ";text-decoration:line-through"),
        ] {
            if self.modifier.contains(modifier) {
                css.push_str(words);
            }
        }
        css
    }
}

fn rgb(colour: Color, none: u32) -> u32 {
    let sixteen = |at: usize| SIXTEEN.get(at).copied().unwrap_or(none);
    match colour {
        Color::Reset => none,
        Color::Black => sixteen(0),
        Color::Red => sixteen(1),
        Color::Green => sixteen(2),
        Color::Yellow => sixteen(3),
        Color::Blue => sixteen(4),
        Color::Magenta => sixteen(5),
        Color::Cyan => sixteen(6),
        Color::Gray => sixteen(7),
        Color::DarkGray => sixteen(8),
        Color::LightRed => sixteen(9),
        Color::LightGreen => sixteen(10),
        Color::LightYellow => sixteen(11),
        Color::LightBlue => sixteen(12),
        Color::LightMagenta => sixteen(13),
        Color::LightCyan => sixteen(14),
        Color::White => sixteen(15),
        Color::Rgb(r, g, b) => u32::from_be_bytes([0, r, g, b]),
        Color::Indexed(at @ 0..16) => sixteen(usize::from(at)),
        Color::Indexed(at @ 16..232) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let at = at - 16;
            u32::from_be_bytes([0, level(at / 36), level(at / 6 % 6), level(at % 6)])
        }
        Color::Indexed(at) => {
            let grey = 8 + 10 * (at - 232);
            u32::from_be_bytes([0, grey, grey, grey])
        }
    }
}

/// The picture as SVG. The title is read aloud where it cannot be seen.
pub fn svg(buffer: &Buffer, title: &str) -> String {
    let (width, height) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (wide, high) = (width * CELL.0 + 2 * AROUND, height * CELL.1 + 2 * AROUND);
    let ground = ground(buffer);
    let mut drawing = Drawing::default();
    for y in buffer.area.top()..buffer.area.bottom() {
        drawing.row(buffer, y, ground);
    }
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" role=\"img\">\n<title>{}</title>",
        escaped(title)
    );
    let _ = writeln!(out, "<style>text{{font:15px {FONT};white-space:pre}}");
    for (at, look) in drawing.looks.iter().enumerate() {
        let _ = writeln!(out, ".s{at}{{{}}}", look.css());
    }
    let _ = writeln!(out, "</style>\n<rect width=\"{wide}\" height=\"{high}\" rx=\"8\" fill=\"#{ground:06x}\"/>");
    out.push_str(&drawing.grounds);
    out.push_str(&drawing.blocks);
    drawing.strokes(&mut out);
    out.push_str(&drawing.texts);
    out.push_str("</svg>\n");
    out
}

/// The ground that most of the cells have.
fn ground(buffer: &Buffer) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for cell in &buffer.content {
        *counts.entry(Look::of(cell).ground).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(PLAIN.1, |(ground, _)| ground)
}

/// What is drawn, layer by layer.
#[derive(Default)]
struct Drawing {
    looks: Vec<Look>,
    grounds: String,
    blocks: String,
    texts: String,
    /// Half cells that a line runs through, by colour, weight, direction and row (or column).
    lines: BTreeMap<(u32, bool, bool, u32), Vec<u32>>,
}

/// A text in one look, where it begins and how many cells it takes.
struct Run {
    look: Look,
    x: u32,
    cells: u32,
    words: String,
}

impl Drawing {
    fn row(&mut self, buffer: &Buffer, y: u16, ground: u32) {
        let row = u32::from(y - buffer.area.top());
        let mut run: Option<Run> = None;
        let mut under: Option<(u32, u32, u32)> = None;
        for (x, cell) in symbols(buffer, y) {
            let look = Look::of(cell);
            let x = u32::from(x - buffer.area.left());
            let wide = u32::try_from(cell.symbol().width()).unwrap_or(1).max(1);
            under = match under {
                Some((colour, from, to)) if colour == look.ground && to == x => Some((colour, from, x + wide)),
                other => {
                    self.ground(other, row, ground);
                    Some((look.ground, x, x + wide))
                }
            };
            let symbol = cell.symbol();
            let is_drawn = self.draws(symbol, x, row, look.ink);
            let is_blank = symbol.trim().is_empty() && !look.modifier.contains(Modifier::UNDERLINED);
            if is_drawn || (is_blank && run.is_none()) {
                self.text(run.take(), row);
                continue;
            }
            run = match run {
                // A space looks the same in every ink.
                Some(run)
                    if wide == 1
                        && run.cells_end() == x
                        && (run.look == look || (is_blank && !run.is_underlined())) =>
                {
                    Some(Run { cells: run.cells + 1, words: run.words + symbol, ..run })
                }
                other => {
                    self.text(other, row);
                    (!is_blank).then(|| Run { look, x, cells: wide, words: symbol.to_owned() })
                }
            };
            if wide > 1 {
                self.text(run.take(), row);
            }
        }
        self.ground(under, row, ground);
        self.text(run, row);
    }

    fn ground(&mut self, under: Option<(u32, u32, u32)>, row: u32, ground: u32) {
        let Some((colour, from, to)) = under.filter(|(colour, ..)| *colour != ground) else { return };
        let (x, y) = (AROUND + from * CELL.0, AROUND + row * CELL.1);
        let wide = (to - from) * CELL.0;
        let _ = writeln!(
            self.grounds,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{}\" fill=\"#{colour:06x}\"/>",
            CELL.1
        );
    }

    fn text(&mut self, run: Option<Run>, row: u32) {
        let Some(mut run) = run else { return };
        let kept = run.words.trim_end_matches(' ').len();
        if !run.is_underlined() {
            run.cells -= u32::try_from(run.words.len() - kept).unwrap_or(0);
            run.words.truncate(kept);
        }
        if run.words.is_empty() {
            return;
        }
        let at = self.looks.iter().position(|look| (look.ink, look.modifier) == (run.look.ink, run.look.modifier));
        let at = at.unwrap_or_else(|| {
            self.looks.push(run.look);
            self.looks.len() - 1
        });
        let (x, y) = (AROUND + run.x * CELL.0, AROUND + row * CELL.1 + BASE);
        let _ = writeln!(
            self.texts,
            "<text class=\"s{at}\" x=\"{x}\" y=\"{y}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{}</text>",
            run.cells * CELL.0,
            escaped(&run.words)
        );
    }

    /// Draws a sign of frames or a block as a shape, if it is one.
    fn draws(&mut self, symbol: &str, x: u32, row: u32, ink: u32) -> bool {
        let mut chars = symbol.chars();
        let (Some(sign), None) = (chars.next(), chars.next()) else { return false };
        if let Some(eighths) = block(sign) {
            let high = (CELL.1 * eighths).div_ceil(8);
            let (left, top) = (AROUND + x * CELL.0, AROUND + row * CELL.1 + CELL.1 - high);
            let _ = writeln!(
                self.blocks,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{high}\" fill=\"#{ink:06x}\"/>",
                CELL.0
            );
            return true;
        }
        let Some((arms, is_heavy)) = arms(sign) else { return false };
        let [up, right, down, left] = arms;
        let mut line = |is_across: bool, at: u32, half: u32| {
            self.lines.entry((ink, is_heavy, is_across, at)).or_default().push(half);
        };
        if left {
            line(true, row, 2 * x);
        }
        if right {
            line(true, row, 2 * x + 1);
        }
        if up {
            line(false, x, 2 * row);
        }
        if down {
            line(false, x, 2 * row + 1);
        }
        true
    }

    /// The lines of frames: one path for each colour and weight, with neighbours joined.
    fn strokes(&self, out: &mut String) {
        let mut paths: BTreeMap<(u32, bool), String> = BTreeMap::new();
        for ((ink, is_heavy, is_across, at), halves) in &self.lines {
            let path = paths.entry((*ink, *is_heavy)).or_default();
            let mut halves = halves.clone();
            halves.sort_unstable();
            for (from, to) in joined(&halves) {
                // Halves of pixels are avoided: a corner reaches over its middle by the width of the line.
                let (cell, across) = if *is_across { (CELL.0, CELL.1) } else { (CELL.1, CELL.0) };
                let along = |half: u32| f64::from(AROUND) + f64::from(half * cell) / 2.0;
                let middle = f64::from(AROUND + at * across) + f64::from(across) / 2.0;
                let over = if *is_heavy { 1.0 } else { 0.5 };
                let (from, to) = (along(from) - over, along(to) + over);
                let _ = if *is_across {
                    write!(path, "M{from} {middle}H{to}")
                } else {
                    write!(path, "M{middle} {from}V{to}")
                };
            }
        }
        for ((ink, is_heavy), path) in paths {
            let wide = if is_heavy { 2 } else { 1 };
            let _ = writeln!(out, "<path d=\"{path}\" stroke=\"#{ink:06x}\" stroke-width=\"{wide}\" fill=\"none\"/>");
        }
    }
}

impl Run {
    fn cells_end(&self) -> u32 {
        self.x + self.cells
    }

    fn is_underlined(&self) -> bool {
        self.look.modifier.contains(Modifier::UNDERLINED)
    }
}

/// Neighbouring halves as stretches: from where to where.
fn joined(halves: &[u32]) -> Vec<(u32, u32)> {
    let mut all: Vec<(u32, u32)> = Vec::new();
    for half in halves {
        match all.last_mut() {
            Some((_, to)) if *to >= *half => *to = half + 1,
            _ => all.push((*half, half + 1)),
        }
    }
    all
}

/// How many eighths of its cell a block fills, from below.
fn block(sign: char) -> Option<u32> {
    let at = u32::from(sign).checked_sub(u32::from('▁'))?;
    (at < 8).then_some(at + 1)
}

/// The arms of a sign of frames (up, right, down, left), and whether it is a heavy one.
fn arms(sign: char) -> Option<([bool; 4], bool)> {
    const LIGHT: &str = "│─┌┐└┘├┤┬┴┼╭╮╰╯";
    const HEAVY: &str = "┃━┏┓┗┛┣┫┳┻╋";
    const ARMS: [u8; 15] = [
        0b1010, 0b0101, 0b0110, 0b0011, 0b1100, 0b1001, 0b1110, 0b1011, 0b0111, 0b1101, 0b1111, 0b0110, 0b0011, 0b1100,
        0b1001,
    ];
    let find = |all: &str| all.chars().position(|it| it == sign);
    let (at, is_heavy) = match (find(LIGHT), find(HEAVY)) {
        (Some(at), _) => (at, false),
        (None, Some(at)) => (at, true),
        (None, None) => return None,
    };
    let bits = ARMS.get(at)?;
    Some(([bits & 8 != 0, bits & 4 != 0, bits & 2 != 0, bits & 1 != 0], is_heavy))
}

/// The text as it may stand in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
