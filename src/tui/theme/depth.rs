//! How many colours a terminal shows, and the nearest ones that it has.

use ratatui::style::{Color, Style};

/// How many colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None: bold, reverse and underline only.
    None,
    /// The sixteen of the terminal's own palette.
    Sixteen,
    /// 256.
    Many,
    /// Every one.
    True,
}

impl Depth {
    /// What the environment says of the terminal.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        if set("NO_COLOR").is_some() || term == "dumb" || term.is_empty() {
            return Self::None;
        }
        if set("COLORTERM").is_some_and(|it| it.contains("truecolor") || it.contains("24bit"))
            || term.contains("direct")
        {
            return Self::True;
        }
        if term.contains("256color") { Self::Many } else { Self::Sixteen }
    }
}

/// The style with the nearest colours that there are.
pub(super) fn within(mut style: Style, depth: Depth) -> Style {
    if depth == Depth::None {
        style.fg = None;
        style.bg = None;
        style.underline_color = None;
        return style;
    }
    style.fg = style.fg.map(|colour| nearest(colour, depth));
    style.bg = style.bg.map(|colour| nearest(colour, depth));
    style
}

fn nearest(colour: Color, depth: Depth) -> Color {
    let Color::Rgb(red, green, blue) = colour else { return colour };
    match depth {
        Depth::True => colour,
        Depth::Many => Color::Indexed(of_256((red, green, blue))),
        Depth::Sixteen => {
            SIXTEEN.iter().min_by_key(|(_, it)| distance(*it, (red, green, blue))).map_or(colour, |it| it.0)
        }
        Depth::None => Color::Reset,
    }
}

/// The sixteen, as most terminals show them.
const SIXTEEN: [(Color, Rgb); 16] = [
    (Color::Black, (0, 0, 0)),
    (Color::Red, (205, 0, 0)),
    (Color::Green, (0, 205, 0)),
    (Color::Yellow, (205, 205, 0)),
    (Color::Blue, (0, 0, 238)),
    (Color::Magenta, (205, 0, 205)),
    (Color::Cyan, (0, 205, 205)),
    (Color::Gray, (229, 229, 229)),
    (Color::DarkGray, (127, 127, 127)),
    (Color::LightRed, (255, 0, 0)),
    (Color::LightGreen, (0, 255, 0)),
    (Color::LightYellow, (255, 255, 0)),
    (Color::LightBlue, (92, 92, 255)),
    (Color::LightMagenta, (255, 0, 255)),
    (Color::LightCyan, (0, 255, 255)),
    (Color::White, (255, 255, 255)),
];

pub(super) type Rgb = (u8, u8, u8);

fn distance(a: Rgb, b: Rgb) -> u32 {
    let part = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
    // The eye sees green best and blue least.
    3 * part(a.0, b.0) + 6 * part(a.1, b.1) + part(a.2, b.2)
}

/// The nearest of the colour cube (16 to 231) and the greys (232 to 255).
fn of_256(colour: Rgb) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let cube = (0..216_u8).map(|n| {
        let at = |n: u8| STEPS[usize::from(n % 6)];
        (16 + n, (at(n / 36), at(n / 6), at(n)))
    });
    let greys = (0..24_u8).map(|n| (232 + n, (8 + 10 * n, 8 + 10 * n, 8 + 10 * n)));
    cube.chain(greys).min_by_key(|(_, it)| distance(*it, colour)).map_or(16, |(index, _)| index)
}
