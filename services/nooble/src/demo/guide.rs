//! The guide: a part of the product's documentation, small enough to be built in.

/// A page of the guide.
pub(crate) struct Page {
    /// Name of its file.
    pub(crate) name: &'static str,
    /// Title that sources show.
    pub(crate) title: &'static str,
    /// Its text, in Markdown.
    pub(crate) text: &'static str,
}

impl Page {
    /// Returns an id that changes with the text, so that a changed page is indexed again.
    pub(crate) fn document_id(&self) -> String {
        let content = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, self.text.as_bytes()).simple().to_string();
        format!("guide-{}-{}", self.name, &content[..12])
    }
}

/// All pages.
pub(crate) const PAGES: &[Page] = &[
    Page { name: "what-nooble-is", title: "What Nooble is", text: include_str!("../../guide/1-what-nooble-is.md") },
    Page {
        name: "tiers-and-limits",
        title: "Tiers and limits",
        text: include_str!("../../guide/2-tiers-and-limits.md"),
    },
    Page {
        name: "sending-messages",
        title: "Sending messages",
        text: include_str!("../../guide/3-sending-messages.md"),
    },
    Page {
        name: "queues-and-fairness",
        title: "Queues and fairness",
        text: include_str!("../../guide/4-queues-and-fairness.md"),
    },
    Page {
        name: "sessions-and-frames",
        title: "Sessions and frames",
        text: include_str!("../../guide/5-sessions-and-frames.md"),
    },
    Page {
        name: "documents-and-answers",
        title: "Documents and answers",
        text: include_str!("../../guide/6-documents-and-answers.md"),
    },
    Page {
        name: "errors-and-trouble",
        title: "Errors and trouble",
        text: include_str!("../../guide/7-errors-and-trouble.md"),
    },
    Page {
        name: "operating-and-security",
        title: "Operating and security",
        text: include_str!("../../guide/8-operating-and-security.md"),
    },
];
