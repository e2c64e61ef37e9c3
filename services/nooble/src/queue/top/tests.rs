use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use proto::queue::v1::{GetSystemOverviewResponse, TenantLoad};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::time::Instant;

use super::sample::{Model, Sample};
use super::screen::{Order, order};
use super::view;
use crate::queue::tests::stats;

/// A look at two domains, so many claims and seconds after the first.
fn look(selected: &str, claimed: u64, later: i64) -> Sample {
    let mut domains = vec![stats("execution"), stats("query")];
    for domain in &mut domains {
        domain.at = Some(prost_types::Timestamp { seconds: 1_700_000_000 + later, nanos: 0 });
        domain.tiers[3].claimed += claimed;
    }
    let tenants = vec![TenantLoad { tenant_id: "acme-1".to_owned(), waiting: 12, in_flight: 3 }];
    let overview = GetSystemOverviewResponse { domains, waiting: 26, in_flight: 8, delayed: 10, dead: 12 };
    let taken = Instant::now() + Duration::from_secs(later.unsigned_abs());
    Sample { overview, selected: selected.to_owned(), tenants, taken }
}

fn drawn(model: &Model) -> String {
    on(110, 16, model)
}

fn on(width: u16, height: u16, model: &Model) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(model, frame.area(), frame.buffer_mut())).unwrap();
    view::text(terminal.backend().buffer())
}

#[test]
fn a_frame_shows_all_domains_and_the_tiers_and_tenants_of_one() {
    let mut model = Model::new("127.0.0.1:50051", "execution");
    model.take(look("execution", 0, 0));
    model.take(look("execution", 5, 2));
    let expected = "\
nooble queues at 127.0.0.1:50051   26 waiting  8 in flight  10 delayed  12 dead

  domain        waiting  oldest claims/s in flight delayed   dead state
> execution          13    3.0s      2.5         4       5      6 free paused, 2 partitions
  query              13    3.0s      2.5         4       5      6 free paused, 2 partitions

  tier          waiting  oldest claims/s   tenants  parked mean run state
  enterprise          1    3.0s      0.0         1       1     2.0s
  professional        0       -      0.0         0       1     2.0s
  advance             0       -      0.0         0       1     2.0s
  free               12    3.0s      2.5         2       1     2.0s paused

  tenant                                   waiting in flight
  acme-1                                        12         3

q quit   \u{2191}\u{2193} domain
";
    assert_eq!(drawn(&model), expected);
}

#[test]
fn a_plain_frame_ends_with_the_tenants_and_knows_no_rates() {
    let mut model = Model::new("127.0.0.1:50051", "query");
    model.take(look("query", 0, 0));
    let text = view::plain(&model);
    assert!(text.contains("> query"), "{text}");
    assert!(text.ends_with("  acme-1                                        12         3\n"), "{text}");
    assert!(!text.contains("2.5"), "{text}");
}

#[test]
fn a_frame_in_json_has_rates_after_the_second_look() {
    let mut model = Model::new("127.0.0.1:50051", "execution");
    model.take(look("execution", 0, 0));
    let first = view::json(&model);
    assert_eq!(first["domains"][0]["claims_per_second"], serde_json::Value::Null);
    model.take(look("execution", 5, 2));
    let second = view::json(&model);
    assert_eq!(second["waiting"], 26);
    assert_eq!(second["domains"][0]["claims_per_second"], 2.5);
    assert_eq!(second["domains"][0]["tiers"]["free"]["claims_per_second"], 2.5);
    assert_eq!(second["tenants"][0]["tenant_id"], "acme-1");
}

#[test]
fn a_counter_that_went_back_is_no_rate_and_a_look_at_the_same_moment_changes_none() {
    let mut model = Model::new("127.0.0.1:50051", "execution");
    let free = i32::from(action::Tier::Free.to_proto());
    model.take(look("execution", 10, 0));
    model.take(look("execution", 20, 5));
    assert_eq!(model.rate("execution", free), Some(2.0));
    model.take(look("execution", 20, 5));
    assert_eq!(model.rate("execution", free), Some(2.0));
    model.take(look("execution", 0, 10));
    assert_eq!(model.rate("execution", free), Some(0.0));
}

#[test]
fn a_look_that_failed_leaves_the_figures_and_says_why() {
    let mut model = Model::new("127.0.0.1:50051", "execution");
    assert!(drawn(&model).starts_with("nooble queues at 127.0.0.1:50051\n"));
    model.take(look("execution", 0, 0));
    model.problem = Some("Service unavailable: the broker is away".to_owned());
    let text = drawn(&model);
    assert!(text.contains("> execution") && text.ends_with("the broker is away\n"), "{text}");
    model.take(look("execution", 0, 1));
    assert!(!drawn(&model).contains("broker"));
}

#[test]
fn a_small_terminal_is_no_reason_to_fail() {
    let mut model = Model::new("127.0.0.1:50051", "execution");
    model.take(look("execution", 0, 0));
    assert!(on(80, 16, &model).contains("6 free paused, 2"), "80 columns show all figures");
    for (width, height) in [(1, 1), (20, 3), (40, 8)] {
        on(width, height, &model);
    }
}

#[test]
fn the_selection_goes_round_and_hides_the_tenants_of_the_domain_before() {
    let mut model = Model::new("127.0.0.1:50051", "execution");
    model.step(true);
    assert_eq!(model.selected, "execution", "there is nothing to step to before the first look");
    model.take(look("execution", 0, 0));
    model.step(true);
    assert_eq!((model.selected.as_str(), model.tenants().len()), ("query", 0));
    model.step(true);
    assert_eq!((model.selected.as_str(), model.tenants().len()), ("execution", 1));
    model.step(false);
    assert_eq!(model.selected, "query");
}

#[test]
fn q_escape_and_control_c_end_it_and_arrows_and_tab_step() {
    let press = |code, modifiers| order(&Event::Key(KeyEvent::new(code, modifiers)));
    for (code, modifiers) in [
        (KeyCode::Char('q'), KeyModifiers::NONE),
        (KeyCode::Esc, KeyModifiers::NONE),
        (KeyCode::Char('c'), KeyModifiers::CONTROL),
    ] {
        assert_eq!(press(code, modifiers), Order::Quit);
    }
    for code in [KeyCode::Down, KeyCode::Right, KeyCode::Tab] {
        assert_eq!(press(code, KeyModifiers::NONE), Order::Step { forward: true });
    }
    for code in [KeyCode::Up, KeyCode::Left, KeyCode::BackTab] {
        assert_eq!(press(code, KeyModifiers::NONE), Order::Step { forward: false });
    }
    assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), Order::Nothing);
    assert_eq!(order(&Event::Resize(80, 24)), Order::Nothing);
}
