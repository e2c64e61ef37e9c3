//! One frame: all domains, the tiers and the busiest tenants of the selected one.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table, Widget as _};
use serde_json::{Value, json};

use super::sample::Model;
use crate::queue::show;
use crate::span;

/// Width of a frame that no terminal bounds.
const PLAIN_WIDTH: u16 = 110;

/// Columns of the three tables: title and width. Together they fit into 80 characters; a state takes what is left.
const DOMAINS: [(&str, u16); 8] = [
    ("domain", 14),
    ("waiting", 8),
    ("oldest", 7),
    ("claims/s", 8),
    ("in flight", 9),
    ("delayed", 7),
    ("dead", 6),
    (STATE, 0),
];
const TIERS: [(&str, u16); 8] = [
    ("tier", 14),
    ("waiting", 8),
    ("oldest", 7),
    ("claims/s", 8),
    ("tenants", 9),
    ("parked", 7),
    ("mean run", 8),
    (STATE, 0),
];
const TENANTS: [(&str, u16); 3] = [("tenant", 40), ("waiting", 9), ("in flight", 9)];

/// The column of words rather than numbers.
const STATE: &str = "state";

/// Draws the model.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let domains = u16::try_from(model.domains().len()).unwrap_or(u16::MAX);
    let heights = [1, 1, domains.saturating_add(1), 1, 5, 1];
    let [title, _, upper, _, middle, _, lower, foot] = Layout::vertical(
        heights.map(Constraint::Length).into_iter().chain([Constraint::Min(1), Constraint::Length(1)]),
    )
    .areas(area);
    Line::styled(heading(model), Style::new().add_modifier(Modifier::BOLD)).render(title, buffer);
    table(&DOMAINS, domain_rows(model)).render(upper, buffer);
    table(&TIERS, tier_rows(model)).render(middle, buffer);
    table(&TENANTS, tenant_rows(model)).render(lower, buffer);
    match &model.problem {
        Some(problem) => Line::styled(problem.clone(), Style::new().fg(Color::Red)).render(foot, buffer),
        None => Line::raw("q quit   \u{2191}\u{2193} domain").render(foot, buffer),
    }
}

/// Returns a frame as plain text.
pub(super) fn plain(model: &Model) -> String {
    let rows = model.domains().len() + model.tenants().len();
    // Title, the head of each table, four tiers, and what keeps them apart.
    let height = u16::try_from(rows + 12).unwrap_or(u16::MAX);
    let area = Rect::new(0, 0, PLAIN_WIDTH, height);
    let mut buffer = Buffer::empty(area);
    draw(model, area, &mut buffer);
    // The last line speaks of keys, of which there are none here.
    text(&buffer).lines().take(usize::from(height) - 1).fold(String::new(), |text, line| text + line + "\n")
}

/// Returns a frame as JSON: the overview with rates, and the tenants of the selected domain.
pub(super) fn json(model: &Model) -> Value {
    let domains = model.domains().iter().map(|stats| {
        let mut shown = show::stats_json(stats);
        shown["claims_per_second"] = model.rate_of(stats).into();
        for tier in &stats.tiers {
            let rate = model.rate(&stats.domain, tier.tier);
            shown["tiers"][show::tier_name(tier)]["claims_per_second"] = rate.into();
        }
        shown
    });
    let overview = model.sample.as_ref().map(|sample| &sample.overview);
    json!({
        "waiting": overview.map(|sums| sums.waiting), "in_flight": overview.map(|sums| sums.in_flight),
        "delayed": overview.map(|sums| sums.delayed), "dead": overview.map(|sums| sums.dead),
        "domains": domains.collect::<Value>(), "selected": model.selected,
        "tenants": show::tenants_json(model.tenants()),
    })
}

/// Returns what stands in a buffer, without the spaces at the ends of lines.
pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|cells| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn heading(model: &Model) -> String {
    let Some(sums) = model.sample.as_ref().map(|sample| &sample.overview) else {
        return format!("nooble queues at {}", model.address);
    };
    format!(
        "nooble queues at {}   {} waiting  {} in flight  {} delayed  {} dead",
        model.address, sums.waiting, sums.in_flight, sums.delayed, sums.dead
    )
}

fn domain_rows(model: &Model) -> Vec<Row<'static>> {
    let row = |stats: &proto::queue::v1::DomainStats| {
        let waiting: u64 = stats.tiers.iter().map(|tier| tier.waiting).sum();
        let selected = stats.domain == model.selected;
        let cells = [
            format!("{}{}", if selected { "> " } else { "  " }, stats.domain),
            waiting.to_string(),
            span::of(show::oldest(stats)),
            rate(model.rate_of(stats)),
            stats.in_flight.to_string(),
            stats.delayed.to_string(),
            stats.dead.to_string(),
            show::state(stats),
        ];
        let style = if selected { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        cells_of(&DOMAINS, cells).style(style)
    };
    model.domains().iter().map(row).collect()
}

fn tier_rows(model: &Model) -> Vec<Row<'static>> {
    let Some(stats) = model.current() else { return Vec::new() };
    let row = |tier: &proto::queue::v1::TierDepth| {
        let cells = [
            format!("  {}", show::tier_name(tier)),
            tier.waiting.to_string(),
            span::of(tier.oldest.as_ref()),
            rate(model.rate(&stats.domain, tier.tier)),
            tier.tenants.to_string(),
            tier.parked.to_string(),
            span::of(tier.mean_run.as_ref()),
            if stats.paused || tier.paused { "paused".to_owned() } else { String::new() },
        ];
        cells_of(&TIERS, cells)
    };
    stats.tiers.iter().map(row).collect()
}

fn tenant_rows(model: &Model) -> Vec<Row<'static>> {
    let rows = model.tenants().iter().map(|load| {
        let cells = [format!("  {}", load.tenant_id), load.waiting.to_string(), load.in_flight.to_string()];
        cells_of(&TENANTS, cells)
    });
    rows.collect()
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}

fn table(columns: &[(&'static str, u16)], rows: Vec<Row<'static>>) -> Table<'static> {
    let names: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(n, (name, _))| if n == 0 { format!("  {name}") } else { (*name).to_owned() })
        .collect();
    let head = row_of(columns, names).style(Style::new().add_modifier(Modifier::DIM));
    Table::new(rows, columns.iter().map(width)).header(head)
}

fn width((name, width): &(&str, u16)) -> Constraint {
    if *name == STATE { Constraint::Fill(1) } else { Constraint::Length(*width) }
}

fn cells_of<const N: usize>(columns: &[(&'static str, u16); N], cells: [String; N]) -> Row<'static> {
    row_of(columns, cells.into())
}

/// Names and states begin at the left, numbers end at the right.
fn row_of(columns: &[(&'static str, u16)], cells: Vec<String>) -> Row<'static> {
    let lines = columns.iter().zip(cells).enumerate().map(|(n, ((name, _), cell))| {
        let line = Line::from(cell);
        if n == 0 || *name == STATE { line } else { line.right_aligned() }
    });
    Row::new(lines.collect::<Vec<_>>())
}
