//! Secrets in files of their own: variables that end in `_FILE`, and systemd's credentials.

use super::config::{Environment, accepted, environment, refused, with, without};
use secrecy::ExposeSecret as _;
use std::path::Path;
use taskrouter_streams::config::Settings;
use taskrouter_streams::twilio::client::Credentials;
use tempfile::TempDir;

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn tokens(settings: &Settings) -> Vec<&str> {
    settings.twilio.auth_tokens.iter().map(|token| token.expose_secret()).collect()
}

/// Without any token but what is added.
fn adding(more: &[(&str, &str)]) -> Environment {
    let mut environment = without("TWILIO_AUTH_TOKEN");
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

#[test]
fn a_variable_with_file_at_its_end_names_the_file_of_its_value() {
    let folder = TempDir::new().unwrap();
    let one = file(&folder, "one", "a-token\n");
    let two = file(&folder, "two", "first-token\r\n\n  second-token  \n");
    for name in ["TWILIO_AUTH_TOKEN_FILE", "TRS__TWILIO__AUTH_TOKENS_FILE"] {
        assert_eq!(tokens(&accepted("", &adding(&[(name, &one)]))), ["a-token"]);
        assert_eq!(tokens(&accepted("", &adding(&[(name, &two)]))), ["first-token", "second-token"]);
    }
    let both = adding(&[("TWILIO_AUTH_TOKEN_FILE", &one), ("TRS__TWILIO__AUTH_TOKENS", "ours")]);
    assert_eq!(tokens(&accepted("", &both)), ["ours"], "our own names come after Twilio's");
    let empty = adding(&[("TWILIO_AUTH_TOKEN_FILE", ""), ("TWILIO_AUTH_TOKEN", "plain")]);
    assert_eq!(tokens(&accepted("", &empty)), ["plain"], "an empty one is as good as unset");
    let url = file(&folder, "url", "postgres://user:password@db.example/journal\n");
    let settings = accepted("", &with(&[("TRS__JOURNAL__URL_FILE", &url)]));
    assert!(format!("{:?}", settings.journal.url).starts_with("Postgres"));
    let secret = file(&folder, "secret", "a-secret");
    let key = [("TWILIO_API_KEY", "SK00000000000000000000000000000001"), ("TWILIO_API_SECRET_FILE", secret.as_str())];
    let Credentials::ApiKey { secret, .. } = accepted("", &with(&key)).twilio.credentials else { panic!() };
    assert_eq!(secret.expose_secret(), "a-secret");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_its_variable_and_without_its_content() {
    let folder = TempDir::new().unwrap();
    let nowhere = folder.path().join("nowhere").display().to_string();
    let long = file(&folder, "long", &"s3cr3t".repeat(20_000));
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"\xff\xfe").unwrap();
    for path in [nowhere.as_str(), &long, binary.to_str().unwrap(), folder.path().to_str().unwrap()] {
        let problems = refused("", &adding(&[("TRS__TWILIO__AUTH_TOKENS_FILE", path)]));
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!(problem.key, "twilio.auth_tokens");
        assert_eq!(problem.origin.as_deref(), Some("TRS__TWILIO__AUTH_TOKENS_FILE"));
        assert!(problem.wrong.contains(path) && !problem.wrong.contains("s3cr3t"), "{problem}");
    }
    let one = file(&folder, "one", "a-token");
    let twice = refused("", &with(&[("TWILIO_AUTH_TOKEN_FILE", &one)]));
    assert!(twice.iter().any(|problem| problem.wrong.contains("is set twice")), "{twice:?}");
    let unknown = refused("", &with(&[("TRS__TWILIO__TOKEN_FILE", &one)]));
    assert!(unknown.iter().any(|problem| problem.key == "twilio.token"), "{unknown:?}");
}

#[test]
fn systemds_credentials_are_keys_by_their_full_name() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().display().to_string();
    file(&folder, "twilio.auth_tokens", "from-systemd\n");
    file(&folder, "admin.token", "0123456789abcdef\n");
    file(&folder, "accounts.blue.auth_tokens", "blue-token\n");
    file(&folder, "tls.key", "somebody else's");
    file(&folder, "password", "somebody else's");
    let blue = "[accounts.blue]\naccount_sid = \"AC000000000000000000000000000000b1\"\nworkspace_sid = \"WS000000000000000000000000000000b1\"";
    let settings = accepted(blue, &adding(&[("CREDENTIALS_DIRECTORY", &directory)]));
    assert_eq!(tokens(&settings), ["from-systemd"]);
    assert_eq!(settings.admin.token.unwrap().expose_secret(), "0123456789abcdef");
    assert_eq!(settings.accounts["blue"].twilio.auth_tokens[0].expose_secret(), "blue-token");
    let mut over = environment();
    over.insert("CREDENTIALS_DIRECTORY".to_owned(), directory.clone());
    assert_ne!(tokens(&accepted(blue, &over)), ["from-systemd"], "the environment comes after them");
    file(&folder, "twilio.auth_token", "misspelt");
    let problems = refused(blue, &adding(&[("CREDENTIALS_DIRECTORY", &directory)]));
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.origin.as_deref(), Some("the credential twilio.auth_token"));
    assert!(Path::new(&directory).exists());
    let nowhere = refused("", &with(&[("CREDENTIALS_DIRECTORY", "/nowhere/at/all")]));
    assert!(nowhere.iter().any(|problem| problem.key == "CREDENTIALS_DIRECTORY"), "{nowhere:?}");
}
