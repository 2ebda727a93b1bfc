//! [`Table`]: rows for people, in columns as wide as their content and together no wider than the
//! terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::Output;

/// Minimum width of a cut column, so that names remain distinguishable.
const CUT_MIN: usize = 8;

/// Gap between two columns.
const GAP: usize = 2;

/// The content of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// Names and the like, cut in the middle on a narrow terminal.
    Name,
    /// Words, never cut.
    Word,
    /// Numbers, never cut, aligned right.
    Number,
}

/// Prints pages of rows under one head. Cuts nothing if standard output is not a terminal.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, ColumnKind); N],
    /// The widths so far, so that the pages of a list line up.
    widths: [usize; N],
    width_max: Option<usize>,
    begun: bool,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, ColumnKind); N], out: &Output) -> Self {
        Self { columns, widths: [0; N], width_max: out.width(), begun: false }
    }

    /// Prints a page; the column names come before the first row. Without rows it prints nothing.
    pub(crate) fn print(&mut self, rows: Vec<[String; N]>, out: &mut Output) {
        if rows.is_empty() {
            return;
        }
        let head = self.columns.map(|(name, _)| name.to_owned());
        let head = (!std::mem::replace(&mut self.begun, true)).then_some(head);
        let rows: Vec<_> = head.into_iter().chain(rows).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        self.fit();
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.add_rows(rows.into_iter().map(|row| self.cut(row)));
        let kinds = self.columns.iter().zip(self.widths);
        for (nth, (column, ((_, kind), width))) in table.column_iter_mut().zip(kinds).enumerate() {
            let gap = if nth == 0 { 0 } else { GAP };
            let whole = u16::try_from(width + gap).unwrap_or(u16::MAX);
            column.set_padding((u16::try_from(gap).unwrap_or(0), 0));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(whole)));
            if *kind == ColumnKind::Number {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().for_each(|line| out.line(line.trim_end()));
    }

    /// Narrows the widest names until a row fits the terminal.
    fn fit(&mut self) {
        let Some(width_max) = self.width_max else { return };
        let gaps = GAP * N.saturating_sub(1);
        while self.widths.iter().sum::<usize>() + gaps > width_max {
            let names = self.widths.iter_mut().zip(&self.columns);
            let names = names.filter(|(width, (name, kind))| {
                *kind == ColumnKind::Name && **width > CUT_MIN.max(name.width())
            });
            let Some((widest, _)) = names.max_by_key(|(width, _)| **width) else { return };
            *widest -= 1;
        }
    }

    fn cut(&self, mut row: [String; N]) -> [String; N] {
        for (cell, (width, (_, kind))) in row.iter_mut().zip(self.widths.iter().zip(&self.columns))
        {
            if *kind == ColumnKind::Name && cell.width() > *width {
                *cell = cut_middle(cell, *width);
            }
        }
        row
    }
}

/// Returns both ends of a text that is wider than `width`, with `…` between them.
fn cut_middle(text: &str, width: usize) -> String {
    let kept = width.saturating_sub(1);
    let fitting = |chars: &mut dyn Iterator<Item = char>, width: usize| {
        let mut used = 0;
        let fits = chars.take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        });
        fits.collect::<Vec<char>>()
    };
    let start = fitting(&mut text.chars(), kept.div_ceil(2));
    let end = fitting(&mut text.chars().rev(), kept / 2);
    start.into_iter().chain(['…']).chain(end.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [(&str, ColumnKind); 4] = [
        ("NAME", ColumnKind::Name),
        ("READY", ColumnKind::Number),
        ("STATE", ColumnKind::Word),
        ("KEYS", ColumnKind::Name),
    ];

    fn row(name: &str, ready: &str, keys: &str) -> [String; 4] {
        [name, ready, "ready", keys].map(str::to_owned)
    }

    fn printed(width_max: Option<usize>, pages: Vec<Vec<[String; 4]>>) -> String {
        let mut out = Output::memory(false);
        let mut table = Table { columns: COLUMNS, widths: [0; 4], width_max, begun: false };
        pages.into_iter().for_each(|page| table.print(page, &mut out));
        out.printed()
    }

    #[test]
    fn columns_are_as_wide_as_their_content_and_pages_line_up() {
        let first = vec![row("a", "1", "x"), row("a longer name", "1000000", "y")];
        let pages = vec![first, Vec::new(), vec![row("b", "22", "")]];
        assert_eq!(
            printed(None, pages),
            "NAME             READY  STATE  KEYS\n\
             a                    1  ready  x\n\
             a longer name  1000000  ready  y\n\
             b                   22  ready\n"
        );
        assert_eq!(printed(None, vec![Vec::new()]), "");
    }

    #[test]
    fn on_a_terminal_long_names_are_cut_in_the_middle_and_numbers_never() {
        let long = "tenants/0123456789/orders/created";
        let page = || vec![row(long, "12345678901234567890", "short")];
        let text = printed(Some(60), vec![page()]);
        assert!(text.lines().all(|line| line.width() <= 60), "{text}");
        assert!(text.contains("tenants/0123…ers/created") && text.contains("12345678901234567890"));
        let narrow = printed(Some(10), vec![page()]);
        assert!(narrow.contains("tena…ted") && narrow.contains("12345678901234567890"), "{narrow}");
        assert!(printed(None, vec![page()]).contains(long), "whole without a terminal");
    }

    #[test]
    fn wide_characters_take_two_places() {
        assert_eq!(cut_middle("名前の長いトピック", 9), "名前…ック");
        assert_eq!(cut_middle("abcdefghij", 6), "abc…ij");
    }
}
