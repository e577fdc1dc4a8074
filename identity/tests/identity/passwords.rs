//! Passwords: which are taken, and how they are compared.

use std::time::{Duration, Instant};

use identity::{Busy, Password, Passwords};

const GOOD: &str = "gravel otter lamp seven";

fn refusal(text: &str, context: &[&str]) -> String {
    let invalid = Password::parse(text, context).expect_err(text);
    assert_eq!(invalid.field, "password");
    invalid.message
}

#[test]
fn length_is_counted_in_characters() {
    // Neither a row of neighbours nor one that begins anew.
    let long: String = (0..129).filter_map(|i| char::from_u32(0x4e00 + i * i % 20_011)).collect();
    assert!(refusal("Tr0ub4dor&3", &[]).contains("at least 12 characters"));
    assert!(refusal("ééééééééééé", &[]).contains("at least 12 characters"), "22 bytes");
    assert!(refusal(&long, &[]).contains("at most 128 characters"));
    assert!(refusal(&"\u{301}".repeat(100_000), &[]).contains("at most 128 characters"));
    assert!(Password::parse(&long.chars().take(128).collect::<String>(), &[]).is_ok());
    assert!(refusal("gravel otter\u{0} lamp", &[]).contains("control characters"));
}

#[test]
fn common_ones_are_refused() {
    for common in [
        "password1234",
        "Password1234!",
        "P@ssw0rd12345",
        "123456789012",
        "qwertyuiop12",
        "aaaaaaaaaaaa",
        "iloveyou1234",
        "abcabcabcabc",
        "letmeinletmein",
    ] {
        assert!(refusal(common, &[]).contains("easy to guess"), "{common}");
    }
    for good in [
        GOOD,
        "correct horse battery staple",
        "Yq7#mKp2vWx9",
        "пароль из четырёх слов",
        "今日は天気がとても良いですね",
    ] {
        assert!(Password::parse(good, &[]).is_ok(), "{good}");
    }
}

/// Signs that may stand for letters can be read in many ways.
#[test]
fn nobody_is_kept_busy_by_a_password() {
    for text in
        ["4@8({[<3&96!i1|70$5+%2".repeat(6), "4@9613!70$582kjhvqwert".repeat(6), "1.1.1990 ".repeat(14)]
    {
        let text: String = text.chars().take(128).collect();
        let began = Instant::now();
        let _ = Password::parse(&text, &[]);
        // It took 18 seconds in a build without optimisations; it takes a tenth of one.
        assert!(began.elapsed() < Duration::from_secs(2), "{text}: {:?}", began.elapsed());
    }
}

#[test]
fn what_others_know_is_no_password() {
    let context = ["annabelle.winterbourne@example.org", "Annabelle Winterbourne"];
    for own in [
        "annabelle.winterbourne",
        "AnnabelleWinterbourne",
        "annabelle.winterbourne@example.org",
        "Winterbourne Annabelle",
        "winterbourne12",
    ] {
        assert!(refusal(own, &context).contains("must not be your name or e-mail address"), "{own}");
    }
    assert!(Password::parse(GOOD, &context).is_ok());
    assert!(Password::parse(GOOD, &["", "a@b.test", "@"]).is_ok());
    assert!(Password::parse("#*?;:_-.,~^=>", &context).is_ok(), "no letters are nobody's name");
}

#[tokio::test]
async fn a_hash_is_its_passwords_and_no_others() {
    let passwords = Passwords::new(2).unwrap();
    let password = Password::parse(GOOD, &[]).unwrap();
    let hash = passwords.hash(&password).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(passwords.hash(&password).await.unwrap(), hash, "each has a salt of its own");
    assert!(!format!("{password:?}").contains("gravel"));

    let (good, bad) = (true, false);
    assert_eq!(passwords.verify(Some(&hash), GOOD).await, Ok(good));
    for other in ["", "gravel otter lamp sevem", "Gravel otter lamp seven", " gravel otter lamp seven"] {
        assert_eq!(passwords.verify(Some(&hash), other).await, Ok(bad), "{other}");
    }
    assert_eq!(passwords.verify(None, GOOD).await, Ok(bad));
    assert_eq!(passwords.verify(Some("no hash"), GOOD).await, Ok(bad));
    assert_eq!(passwords.verify(Some(&hash), &GOOD.repeat(100_000)).await, Ok(bad));
}

#[tokio::test]
async fn one_keyboards_letters_are_anothers() {
    let passwords = Passwords::new(1).unwrap();
    let composed = "zw\u{f6}lf Boxk\u{e4}mpfer jagen";
    let decomposed = "zwo\u{308}lf Boxka\u{308}mpfer jagen";
    let hash = passwords.hash(&Password::parse(decomposed, &[]).unwrap()).await.unwrap();
    assert!(passwords.verify(Some(&hash), composed).await.unwrap());
}

/// Made with argon2-cffi, by a fifth of the memory: `hash_secret(b"gravel otter lamp seven", b"saltsaltsalt",
/// time_cost=2, memory_cost=4096, parallelism=1, hash_len=32, type=Type.ID)`.
const WEAKER: &str =
    "$argon2id$v=19$m=4096,t=2,p=1$c2FsdHNhbHRzYWx0$ejxE1m8smMOYCJHPpcS3Kv/ns1dMnqlTkpW5RpLTlss";

#[tokio::test]
async fn a_hash_of_before_is_still_good() {
    let passwords = Passwords::new(1).unwrap();
    assert_eq!(passwords.verify(Some(WEAKER), GOOD).await, Ok(true));
    assert_eq!(passwords.verify(Some(WEAKER), "something else").await, Ok(false));
}

/// One place, and sixteen who wait for it: whoever comes then is sent away at once.
#[tokio::test]
async fn a_flood_is_sent_away() {
    let passwords = Passwords::new(1).unwrap();
    let flood = (0..40).map(|_| passwords.verify(None, GOOD));
    let answers = futures_util::future::join_all(flood).await;
    let busy = answers.iter().filter(|answer| **answer == Err(Busy)).count();
    assert!((23..=24).contains(&busy), "{busy}");
    // And later it is as before.
    assert!(passwords.verify(None, GOOD).await.is_ok());
}

/// Whether there is an account cannot be told by the time. The shortest of several is compared, which is the
/// one that the machine's other work disturbed least; without any work the one would be a thousandth.
#[tokio::test]
async fn without_an_account_it_takes_as_long() {
    let passwords = Passwords::new(1).unwrap();
    let hash = passwords.hash(&Password::parse(GOOD, &[]).unwrap()).await.unwrap();
    let (mut with, mut without) = (f64::MAX, f64::MAX);
    for _ in 0..12 {
        for (hash, shortest) in [(Some(hash.as_str()), &mut with), (None, &mut without)] {
            let began = Instant::now();
            passwords.verify(hash, "something else").await.unwrap();
            *shortest = shortest.min(began.elapsed().as_secs_f64());
        }
    }
    assert!((0.25..4.0).contains(&(without / with)), "{with} s, without {without} s");
}
