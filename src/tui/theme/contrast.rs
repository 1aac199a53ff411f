//! Contrast of two colours, as WCAG 2.1 defines it.

use ratatui::style::Color;

/// From 1 (none) to 21 (black on white); none where a colour is the terminal's own.
pub fn ratio(a: Color, b: Color) -> Option<f64> {
    let (a, b) = (luminance(a)?, luminance(b)?);
    Some((a.max(b) + 0.05) / (a.min(b) + 0.05))
}

fn luminance(colour: Color) -> Option<f64> {
    let Color::Rgb(red, green, blue) = colour else { return None };
    let part = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    Some(0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue))
}

/// The least contrast of what is read in a theme; none where it has no colours of its own.
pub fn least(theme: &super::Theme) -> Option<f64> {
    let ratios = super::Role::ALL.iter().filter(|role| role.is_text()).filter_map(|role| {
        let style = theme.style(*role);
        ratio(style.fg.or(theme.background.fg)?, style.bg.or(theme.background.bg)?)
    });
    ratios.min_by(f64::total_cmp)
}
