//! `query.search`: passages near a text.

use proto::query::v1::{SearchPassages, SearchPassagesResult};
use queue::{Completed, Work};

use crate::query::source;
use crate::{Error, Query};

impl Query {
    /// Handles `query.search`.
    ///
    /// # Errors
    ///
    /// Those of the request, of embedding it, and of the index.
    pub async fn search(&self, work: Work, request: SearchPassages) -> Result<Completed<SearchPassagesResult>, Error> {
        let tier = work.action().tier;
        let collections = self.check_search(tier, &request)?;
        let limit = if request.limit == 0 { self.default_limit(tier) } else { request.limit };
        let found = self.find(&work, &request.query, &collections, limit, request.similarity_threshold, 1.0).await?;
        let sources = (1..).zip(found.hits).map(|(number, hit)| source(hit, number)).collect();
        Ok(SearchPassagesResult { sources, tokens_used: Some(found.tokens) }.into())
    }

    pub(crate) fn default_limit(&self, tier: action::Tier) -> u32 {
        self.config.top_k.min(self.limits(tier).search_results)
    }
}
