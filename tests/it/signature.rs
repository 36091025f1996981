//! `X-Twilio-Signature`.

use proptest::prelude::*;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use taskrouter_streams::twilio::signature::{Verifier, VerifierError, parse_pairs, sign};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TARGET: &str = "/taskrouter/events";
const NONE: [(&str, &str); 0] = [];

fn verifier(base: &str, tokens: &[&str]) -> Verifier {
    Verifier::new(base, tokens.iter().map(|token| SecretString::from(*token)).collect()).unwrap()
}

fn form(verifier: &Verifier, body: &[u8], header: &str) -> bool {
    verifier.verify(TARGET, true, body, &parse_pairs(body), header.as_bytes())
}

#[test]
fn the_example_of_twilios_documentation_is_signed_as_there() {
    let pairs = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    assert_eq!(sign(url, &pairs, "12345"), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
}

#[test]
fn the_signed_port_may_be_absent_explicit_or_the_default() {
    for (base, signed, valid) in [
        ("https://a.example", "https://a.example", true),
        ("https://a.example", "https://a.example:443", true),
        ("https://a.example", "https://a.example:8443", false),
        ("https://a.example:443", "https://a.example", true),
        ("https://a.example:8443", "https://a.example", true),
        ("https://a.example:8443", "https://a.example:8443", true),
        ("https://a.example:8443", "https://a.example:443", false),
        ("http://a.example", "http://a.example:80", true),
        ("http://a.example", "https://a.example", false),
        ("HTTPS://A.example/", "https://A.example", true),
        ("https://a.example/pre", "https://a.example:443/pre", true),
        ("https://a.example/pre", "https://a.example", false),
        ("https://[::1]:8443", "https://[::1]", true),
        ("https://[::1]", "https://[::1]:443", true),
    ] {
        let header = sign(&format!("{signed}{TARGET}"), &[("a", "b")], TOKEN);
        assert_eq!(form(&verifier(base, &[TOKEN]), b"a=b", &header), valid, "{base} signed as {signed}");
    }
}

#[test]
fn either_of_two_tokens_may_have_signed_and_no_other() {
    let both = verifier("https://a.example", &[TOKEN, "second"]);
    for (token, valid) in [(TOKEN, true), ("second", true), ("third", false)] {
        let header = sign(&format!("https://a.example{TARGET}"), &[("a", "b")], token);
        assert_eq!(form(&both, b"a=b", &header), valid);
    }
}

#[test]
fn a_repeated_key_counts_once_per_distinct_value_in_order_and_empty_values_count() {
    let by_hand = sign(&format!("https://a.example{TARGET}a1a2b"), &NONE, TOKEN);
    let one = verifier("https://a.example", &[TOKEN]);
    assert!(form(&one, b"b=&a=2&a=1&a=2", &by_hand));
    assert!(!form(&one, b"a=2&a=1&a=2", &by_hand), "the empty value is signed");
}

#[test]
fn values_are_signed_decoded_and_as_utf8() {
    let header = sign(&format!("https://a.example{TARGET}"), &[("n", "Zoë + 🎧")], TOKEN);
    let one = verifier("https://a.example", &[TOKEN]);
    assert!(form(&one, b"n=Zo%C3%AB+%2b+%F0%9F%8E%A7", &header));
    assert!(!form(&one, b"n=Zo%C3%AB+++%F0%9F%8E%A7", &header));
}

#[test]
fn a_body_that_is_no_form_needs_its_hash_in_the_signed_query() {
    let one = verifier("https://a.example", &[TOKEN]);
    let body = b"{\"a\":1}";
    let hash: String = Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect();
    let check = |target: &str, body: &[u8]| {
        let header = sign(&format!("https://a.example{target}"), &NONE, TOKEN);
        one.verify(target, false, body, &[], header.as_bytes())
    };
    assert!(check(&format!("/x?bodySHA256={hash}"), body));
    assert!(check(&format!("/x?bodySHA256={hash}&bodySHA256=0"), body), "the first counts");
    assert!(!check(&format!("/x?bodySHA256=0&bodySHA256={hash}"), body));
    assert!(!check(&format!("/x?bodySHA256={hash}"), b"{\"a\":2}"));
    assert!(!check(&format!("/x?bodySHA256={hash}"), b""));
    assert!(!check(&format!("/x?bodysha256={hash}"), body));
    assert!(!check(&format!("/x?bodySHA256={}", hash.to_uppercase()), body));
    assert!(!check("/x", body), "an unhashed body is not authenticated");
    assert!(check("/x", b""));
}

#[test]
fn a_base_that_could_not_be_signed_and_an_empty_token_are_refused() {
    let token = || vec![SecretString::from(TOKEN)];
    for (base, error) in [
        ("ftp://a.example", VerifierError::Scheme),
        ("a.example", VerifierError::Scheme),
        ("https://u:p@a.example", VerifierError::UserInfo),
        ("https://a.example?x", VerifierError::Characters),
        ("https://a.example#x", VerifierError::Characters),
        ("https://", VerifierError::Authority),
        ("https://a.example:x", VerifierError::Authority),
    ] {
        assert_eq!(Verifier::new(base, token()).unwrap_err(), error, "{base}");
    }
    assert_eq!(Verifier::new("https://a.example", vec![]).unwrap_err(), VerifierError::Token);
    assert_eq!(Verifier::new("https://a.example", vec![SecretString::from("")]).unwrap_err(), VerifierError::Token);
}

proptest! {
    #[test]
    fn a_changed_byte_of_a_value_or_of_the_signature_is_refused(value in "[a-z]{1,20}", at in 0_usize..20, bit in 0_u8..7) {
        let one = verifier("https://a.example", &[TOKEN]);
        let header = sign(&format!("https://a.example{TARGET}"), &[("k", &value)], TOKEN);
        let body = format!("k={value}");
        prop_assert!(form(&one, body.as_bytes(), &header));
        let mut letters = value.into_bytes();
        let place = at % letters.len();
        letters[place] = if letters[place] == b'z' { b'a' } else { letters[place] + 1 };
        let tampered = [b"k=".as_slice(), &letters].concat();
        prop_assert!(!form(&one, &tampered, &header));
        let mut forged = header.into_bytes();
        forged[at] ^= 1 << bit;
        prop_assert!(!one.verify(TARGET, true, body.as_bytes(), &parse_pairs(body.as_bytes()), &forged));
    }
}
