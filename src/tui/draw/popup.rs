//! What layers are drawn in: a frame in the middle, with lines in it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::Clear;

use super::text::{self, Piece};
use super::{block, rows};
use crate::tui::app::Model;
use crate::tui::theme::Role;

/// Draws the frame of a layer, at most so wide and high, and returns what is inside.
pub fn frame(frame: &mut Frame<'_>, area: Rect, model: &Model, title: &str, width: u16, height: u16) -> Rect {
    let area = area.intersection(frame.area());
    let (width, height) = (width.min(area.width), height.min(area.height));
    let area = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    let block = block(model, true);
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block.style(model.theme.background.patch(model.theme.style(Role::Text))), area);
    let top =
        Rect { x: area.x.saturating_add(2), width: area.width.saturating_sub(4), height: area.height.min(1), ..area };
    text::draw(frame, top, model, &[Piece::new(Role::Accent, format!(" {title} "))], None);
    // A column of air on both sides.
    Rect { x: inner.x.saturating_add(1).min(inner.right()), width: inner.width.saturating_sub(2), ..inner }
}

/// Draws lines in a frame that is as high as they are.
pub fn lines(at: &mut Frame<'_>, area: Rect, model: &Model, title: &str, lines: &[Vec<Piece>], width: u16) {
    let inner = frame(at, area, model, title, width, height(lines, width.min(area.width), area.height));
    body(at, inner, model, lines, 0);
}

/// Draws lines in a frame, from the one at `top` on.
pub fn scrolled(
    at: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    title: &str,
    lines: &[Vec<Piece>],
    top: usize,
    width: u16,
) {
    let lines = laid(lines, inside(area, width));
    let title = if top > 0 { format!("{title} · line {} of {}", top + 1, lines.len()) } else { title.to_owned() };
    let inner = frame(at, area, model, &title, width, height(&lines, width.min(area.width), area.height));
    body(at, inner, model, &lines, top);
}

/// How high a frame is that holds these lines whole; no higher than there is room.
fn height(lines: &[Vec<Piece>], width: u16, most: u16) -> u16 {
    let inside = width.saturating_sub(4);
    let mut rows = 2;
    for line in lines {
        rows += broken(line, inside).len();
        if rows >= usize::from(most) {
            return most;
        }
    }
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// Columns inside a frame that is at most so wide.
pub fn inside(area: Rect, width: u16) -> u16 {
    width.min(area.width).saturating_sub(4)
}

/// The lines as rows of at most so many columns: what is scrolled by rows hides nothing of a long line.
pub fn laid(lines: &[Vec<Piece>], width: u16) -> Vec<Vec<Piece>> {
    lines.iter().flat_map(|line| broken(line, width)).collect()
}

/// Draws lines from the one at `top` on. A line that is too long goes on in the next rows.
pub fn body(frame: &mut Frame<'_>, area: Rect, model: &Model, lines: &[Vec<Piece>], top: usize) {
    let mut free = rows(area);
    for line in lines.iter().skip(top) {
        for part in broken(line, area.width) {
            let Some(row) = free.next() else { return };
            text::draw(frame, row, model, &part, None);
        }
    }
}

/// The line in rows of at most so many columns. The last piece is the one that is broken, unless there is no room beside the others:
/// then all of it is, wherever a row ends.
pub fn broken(line: &[Piece], width: u16) -> Vec<Vec<Piece>> {
    use unicode_width::UnicodeWidthStr;
    let wide: usize = line.iter().map(|piece| piece.words.width()).sum();
    let Some((last, head)) = line.split_last().filter(|_| wide > usize::from(width)) else {
        return vec![line.to_vec()];
    };
    let indent: usize = head.iter().map(|piece| piece.words.width()).sum();
    let room = usize::from(width).saturating_sub(indent);
    if room < 10 {
        return flowing(line, usize::from(width));
    }
    let room = u16::try_from(room).unwrap_or(width);
    let parts = text::wrapped(&last.words, room);
    let mut rows = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let mut row = if at == 0 { head.to_vec() } else { vec![Piece::new(Role::Text, " ".repeat(indent))] };
        row.push(Piece::new(last.role, part));
        rows.push(row);
    }
    rows
}

/// The line in rows, broken wherever one ends.
fn flowing(line: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    use unicode_segmentation::UnicodeSegmentation;
    use unicode_width::UnicodeWidthStr;
    let (mut rows, mut row, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in line {
        let mut words = String::new();
        for grapheme in piece.words.graphemes(true) {
            if taken > 0 && taken + grapheme.width() > width {
                row.push(Piece::new(piece.role, std::mem::take(&mut words)));
                rows.push(std::mem::take(&mut row));
                taken = 0;
            }
            words.push_str(grapheme);
            taken += grapheme.width();
        }
        row.push(Piece::new(piece.role, words));
    }
    rows.push(row);
    rows
}

/// The first rows, and the rest.
pub fn split_first(area: Rect, rows: u16) -> Option<(Rect, Rect)> {
    let rest = area.height.checked_sub(rows)?;
    Some((Rect { height: rows, ..area }, Rect { y: area.y + rows, height: rest, ..area }))
}

/// What is above the last rows, and these, where there is room for both.
pub fn split_last(area: Rect, rows: u16) -> (Rect, Option<Rect>) {
    match area.height.checked_sub(rows).filter(|rest| *rest > 0) {
        Some(rest) => (Rect { height: rest, ..area }, Some(Rect { y: area.y + rest, height: rows, ..area })),
        None => (area, None),
    }
}
