//! What build this is, for `--version`, `/health` and the metrics.

fn main() {
    // Whoever packages says it; a build from a checkout need not know git.
    println!("cargo:rerun-if-env-changed=TRS_BUILD_COMMIT");
    let commit = std::env::var("TRS_BUILD_COMMIT").ok().filter(|commit| is_commit(commit));
    println!("cargo:rustc-env=TRS_BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=TRS_BUILD_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

fn is_commit(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
