//! `nooble token mint`, `nooble token check`: tokens (JWT) made with the shared secret, and looked at.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{AgentId, TenantId, Tier, UserId};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use service_kit::identity::{Grant, JwtConfig, Proof, Tokens, key_file, mint};
use service_kit::{Settings, Tasks};

use crate::mesh::print_json;
use crate::span;

/// Holds the secret that `nooble up` makes in its data directory when none is configured.
pub(crate) const KEY_FILE: &str = "jwt.key";

/// Returns where that secret lies.
pub(crate) fn key_path(data_dir: &Path) -> PathBuf {
    data_dir.join(KEY_FILE)
}

/// Makes or checks tokens.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Token {
    /// Make a token, signed with JWT_SECRET or with the secret that `nooble up` keeps in its data directory.
    Mint {
        /// Tenant that it is for.
        #[arg(long, value_parser = id::<TenantId>)]
        tenant: TenantId,
        /// Person who will present it.
        #[arg(long, value_parser = id::<UserId>)]
        user: Option<UserId>,
        /// The only agents that it may use, separated by commas; all of the tenant's when absent.
        #[arg(long, value_delimiter = ',', value_parser = id::<AgentId>)]
        agents: Vec<AgentId>,
        /// What it says about the tenant's tier; it is refused when the tenant's record says otherwise.
        #[arg(long)]
        tier: Option<Tier>,
        /// How long it lasts.
        #[arg(long, default_value = "1h", value_parser = span::parse)]
        ttl: Duration,
        #[command(flatten)]
        source: Source,
    },
    /// Check a token as a service would, but for the record of its tenant, and say what it proves.
    Check {
        /// The token; `-` reads it from standard input.
        token: String,
        #[command(flatten)]
        source: Source,
    },
}

/// Where the keys of tokens are: the settings `JWT_…` of the environment, and failing those a data directory.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Source {
    /// Where `nooble up` keeps its data.
    #[arg(long, default_value = ".nooble")]
    data_dir: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Token {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Mint { tenant, user, agents, tier, ttl, source } => {
                let agents =
                    Some(agents).filter(|agents| !agents.is_empty()).map(|agents| agents.into_iter().collect());
                let token = made(&source.config()?, &Grant { tenant, user, agents, tier, ttl })?;
                if source.json {
                    return print_json(&json!({ "token": token, "expires_in": ttl.as_secs() }));
                }
                Ok(writeln!(std::io::stdout(), "{token}")?)
            }
            Self::Check { token, source } => {
                let token = if token == "-" { from_standard_input()? } else { token };
                let tokens = Tokens::new(&source.config()?, &Tasks::default())?;
                let proof = tokens.verify(token.trim()).await?;
                if source.json { print_json(&document(&proof)) } else { print(&proof) }
            }
        }
    }
}

impl Source {
    /// Reads the settings. Without any, the data directory's secret is used, if `nooble up` has made one.
    fn config(&self) -> Result<JwtConfig> {
        let mut settings = Settings::from_process(None);
        let config = JwtConfig::read(&mut settings);
        settings.finish()?;
        let path = key_path(&self.data_dir);
        if config.has_key() || !path.exists() {
            return Ok(config);
        }
        let secret = key_file(&path).with_context(|| format!("read the secret in {}", path.display()))?;
        Ok(config.with_own_secret(secret))
    }
}

fn made(config: &JwtConfig, grant: &Grant) -> Result<String> {
    if config.secret.is_none() && config.jwks_url.is_some() {
        bail!("tokens are made by the issuer of JWT_JWKS_URL; set JWT_SECRET_FILE to make some here");
    }
    let token = mint(config, grant);
    let token = token.context("there is no secret: set JWT_SECRET_FILE, or --data-dir to where `nooble up` runs")?;
    Ok(token.expose().to_owned())
}

fn from_standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().take(64 * 1024).read_to_string(&mut text).context("read the token from standard input")?;
    Ok(text)
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "must be 3 to 64 characters out of A-Z a-z 0-9 _ -".to_owned())
}

fn document(proof: &Proof) -> Value {
    let ends = proof.expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "tenant_id": proof.tenant.as_str(),
        "user_id": proof.user.as_ref().map(UserId::as_str),
        "scopes": proof.scopes.words(),
        "agents": proof.agents.as_ref().map(|agents| agents.iter().map(AgentId::as_str).collect::<Vec<_>>()),
        "tier": proof.tier.map(Tier::as_str),
        "refused_from": ends,
    })
}

fn print(proof: &Proof) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "tenant {}", proof.tenant)?;
    writeln!(out, "user {}", proof.user.as_ref().map_or("-", UserId::as_str))?;
    writeln!(out, "scopes {}", proof.scopes.words().join(","))?;
    let agents = proof.agents.as_ref().map(|agents| agents.iter().map(AgentId::as_str).collect::<Vec<_>>().join(","));
    writeln!(out, "agents {}", agents.as_deref().unwrap_or("all"))?;
    writeln!(out, "tier {}", proof.tier.map_or("-", Tier::as_str))?;
    let left = proof.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
    Ok(writeln!(out, "works_for {}", span::short(left))?)
}

#[cfg(test)]
mod tests {
    use service_kit::Secret;

    use super::*;

    fn grant() -> Grant {
        Grant { tenant: "acme-1".parse().unwrap(), user: None, agents: None, tier: None, ttl: Duration::from_mins(1) }
    }

    #[tokio::test]
    async fn a_token_of_the_data_directory_is_checked_by_the_same_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        key_file(&key_path(folder.path())).unwrap();
        let source = Source { data_dir: folder.path().to_owned(), json: false };
        let config = source.config().unwrap();
        let token = made(&config, &grant()).unwrap();
        let proof = Tokens::new(&config, &Tasks::default()).unwrap().verify(&token).await.unwrap();
        let shown = document(&proof);
        assert_eq!((shown["tenant_id"].as_str(), &shown["scopes"]), (Some("acme-1"), &json!(["tenant"])));
        assert_eq!(shown["agents"], Value::Null);
    }

    #[test]
    fn without_a_secret_a_person_is_told_where_to_get_one() {
        let none = made(&JwtConfig::default(), &grant()).unwrap_err().to_string();
        assert!(none.contains("JWT_SECRET_FILE"), "{none}");
        let jwks_url = Some("https://issuer.example/jwks".parse().unwrap());
        let issuers = made(&JwtConfig { jwks_url, ..JwtConfig::default() }, &grant()).unwrap_err().to_string();
        assert!(issuers.contains("JWT_JWKS_URL"), "{issuers}");
        let secret = JwtConfig::default().with_own_secret(Secret::new("s".repeat(32)));
        assert!(made(&secret, &grant()).is_ok());
    }
}
