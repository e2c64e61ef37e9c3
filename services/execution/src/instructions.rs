//! What an agent is told about itself and about the user.

use std::collections::{BTreeMap, HashMap};

use proto::management::v1::Agent;

/// Most characters of instructions, as many as the query service takes.
const MOST: usize = 16_000;

/// Writes the instructions of an agent for a user; the facts stand in the order of their names, so that the same request
/// makes the same prompt. Facts that have no room are left out.
pub(crate) fn of(agent: &Agent, user: &HashMap<String, String>) -> String {
    let mut text = agent.system_prompt.trim_end().to_owned();
    if user.is_empty() {
        return text;
    }
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str("What is known about the user:");
    let mut room = MOST.saturating_sub(text.chars().count());
    for (name, value) in user.iter().collect::<BTreeMap<_, _>>() {
        let fact = format!("\n- {name}: {value}");
        let Some(left) = room.checked_sub(fact.chars().count()) else { break };
        room = left;
        text.push_str(&fact);
    }
    text
}

#[cfg(test)]
mod tests {
    use proto::management::v1::Agent;

    #[test]
    fn facts_about_the_user_follow_the_agents_own_words_in_the_order_of_their_names() {
        let agent = Agent { system_prompt: "You sell tractors.\n".into(), ..Agent::default() };
        let facts = [("name", "Ana"), ("city", "Vigo")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = super::of(&agent, &facts.into());
        assert_eq!(text, "You sell tractors.\n\nWhat is known about the user:\n- city: Vigo\n- name: Ana");
        assert_eq!(super::of(&agent, &[].into()), "You sell tractors.");
    }

    #[test]
    fn instructions_are_never_longer_than_the_documents_take_them() {
        let agent = Agent { system_prompt: "ñ".repeat(8_000), ..Agent::default() };
        let facts = (10..42).map(|number| (format!("{number}{}", "n".repeat(62)), "ñ".repeat(512))).collect();
        let text = super::of(&agent, &facts);
        assert!(text.starts_with(&agent.system_prompt) && text.contains("\n- 10") && !text.contains("\n- 41"));
        assert!(text.chars().count() <= super::MOST);
    }
}
