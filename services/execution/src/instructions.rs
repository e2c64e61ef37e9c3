//! What an agent is told about itself and about the user.

use std::collections::{BTreeMap, HashMap};

use proto::management::v1::Agent;

/// Writes the instructions of an agent for a user; the facts stand in the order of their names, so that the same request
/// makes the same prompt.
pub(crate) fn of(agent: &Agent, user: &HashMap<String, String>) -> String {
    let mut text = agent.system_prompt.trim_end().to_owned();
    if user.is_empty() {
        return text;
    }
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str("What is known about the user:");
    for (name, value) in user.iter().collect::<BTreeMap<_, _>>() {
        text.push_str("\n- ");
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
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
}
