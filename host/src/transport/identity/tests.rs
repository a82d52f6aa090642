//! Identities on disk: what is read back, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use super::*;

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A CA and the data directory of node `a`.
fn saved() -> (tempfile::TempDir, ClusterCa, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let ca = ClusterCa::create(&dir.path().join("ca")).unwrap();
    let data = dir.path().join("data");
    ca.issue(&name("a"), NODE_VALIDITY).unwrap().save(&data).unwrap();
    (dir, ca, data)
}

#[test]
fn every_name_a_node_may_have_is_read_back_from_its_certificate() {
    let ca = ClusterCa::generate().unwrap();
    for text in ["a", "n_1", "a.b.c", "0-_.", &"x".repeat(63)] {
        let identity = ca.issue(&name(text), NODE_VALIDITY).unwrap();
        assert_eq!(member_named_by(identity.certificate()), Ok((ca.cluster(), name(text))));
    }
}

#[test]
fn what_is_saved_is_loaded_and_the_secrets_are_for_the_owner() {
    let (dir, ca, data) = saved();
    let identity = NodeIdentity::load(&data).unwrap();
    assert_eq!((identity.node(), identity.cluster()), (&name("a"), ca.cluster()));
    assert_eq!(mode(&data.join("tls/node.key")), 0o600);
    assert_eq!(mode(&dir.path().join("ca/ca.key")), 0o600);
    assert_eq!(mode(&dir.path().join("ca")), 0o700);
    let reopened = ClusterCa::open(&dir.path().join("ca")).unwrap();
    reopened.issue(&name("a"), NODE_VALIDITY).unwrap().save(&data).unwrap();
    NodeIdentity::load(&data).unwrap();
}

#[test]
fn a_ca_and_anothers_identity_are_not_written_over() {
    let (dir, ca, data) = saved();
    let error = ClusterCa::create(&dir.path().join("ca")).unwrap_err();
    assert!(matches!(error, IdentityError::Exists { .. }), "{error}");
    let error = ca.issue(&name("b"), NODE_VALIDITY).unwrap().save(&data).unwrap_err();
    assert!(matches!(error, IdentityError::Exists { .. }), "{error}");
}

#[test]
fn a_missing_file_is_named_with_the_command_that_makes_it() {
    for file in ["ca.pem", "node.pem", "node.key"] {
        let (_dir, _ca, data) = saved();
        fs::remove_file(data.join("tls").join(file)).unwrap();
        let error = NodeIdentity::load(&data).unwrap_err().to_string();
        let command = format!("`forebay cluster add-node NAME --ca DIR --out {}`", data.display());
        assert!(error.contains(file) && error.contains(&command), "{error}");
    }
}

#[test]
fn a_key_others_can_read_is_refused() {
    let (_dir, _ca, data) = saved();
    let key = data.join("tls/node.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = NodeIdentity::load(&data).unwrap_err().to_string();
    assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
}

#[test]
fn an_expired_certificate_is_refused_with_both_dates() {
    let (_dir, ca, data) = saved();
    ca.issue(&name("a"), Duration::ZERO).unwrap().save(&data).unwrap();
    let identity = ca.issue(&name("a"), Duration::ZERO).unwrap();
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let error = identity.credentials().check(Path::new("node.pem"), credentials::NODE, later).unwrap_err().to_string();
    assert!(error.contains("was valid until 20") && error.contains("now it is 2096-10-02T07:06:40Z"), "{error}");
}

#[test]
fn a_certificate_of_the_future_is_refused_with_both_dates() {
    let identity = ClusterCa::generate().unwrap().issue(&name("a"), NODE_VALIDITY).unwrap();
    let error = identity
        .credentials()
        .check(Path::new("node.pem"), credentials::NODE, SystemTime::UNIX_EPOCH)
        .unwrap_err()
        .to_string();
    assert!(error.contains("is valid from 20") && error.contains("now it is 1970-01-01T00:00:00Z"), "{error}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    for file in ["ca.pem", "node.pem", "node.key"] {
        let (_dir, _ca, data) = saved();
        let (_other_dir, _other_ca, other) = saved();
        fs::copy(other.join("tls").join(file), data.join("tls").join(file)).unwrap();
        let error = NodeIdentity::load(&data).unwrap_err();
        assert!(matches!(error, IdentityError::Foreign { .. }), "{file}: {error}");
    }
}

#[test]
fn files_with_something_else_in_them_are_refused() {
    for (file, text) in [("ca.pem", ""), ("node.pem", "hello"), ("node.key", "-----BEGIN PRIVATE KEY-----\nAA\n")] {
        let (_dir, _ca, data) = saved();
        fs::write(data.join("tls").join(file), text).unwrap();
        let error = NodeIdentity::load(&data).unwrap_err();
        assert!(matches!(&error, IdentityError::Malformed { path, .. } if path.ends_with(file)), "{error}");
    }
}

#[test]
fn the_key_is_not_in_the_debug_form() {
    let identity = ClusterCa::generate().unwrap().issue(&name("a"), NODE_VALIDITY).unwrap();
    assert!(!format!("{identity:?}").contains("key"), "{identity:?}");
}

fn operator() -> OperatorName {
    "ann".parse().unwrap()
}

#[test]
fn an_operators_keys_are_saved_loaded_and_named_in_their_certificate() {
    let (dir, ca, _) = saved();
    let desk = dir.path().join("ann");
    let identity = ca.issue_operator(&operator(), NODE_VALIDITY).unwrap();
    let uri = format!("forebay://{}/operator/ann", ca.cluster());
    let certificate = webpki::EndEntityCert::try_from(identity.credentials().certificate()).unwrap();
    assert_eq!(certificate.valid_uri_names().collect::<Vec<_>>(), [uri]);
    assert_eq!(certificate.valid_dns_names().count(), 0, "it is no server");
    identity.save(&desk).unwrap();
    let loaded = OperatorIdentity::load(&desk).unwrap();
    assert_eq!((loaded.operator(), loaded.credentials().cluster()), (&operator(), ca.cluster()));
    assert_eq!(mode(&desk.join("tls/operator.key")), 0o600);
    assert_eq!(mode(&desk.join("tls")), 0o700);
    ca.issue_operator(&"ben".parse().unwrap(), NODE_VALIDITY).unwrap().save(&desk).unwrap_err();
}

#[test]
fn an_operator_is_no_node_and_a_node_no_operator() {
    let (dir, ca, data) = saved();
    let operators = ca.issue_operator(&operator(), NODE_VALIDITY).unwrap();
    let told = member_named_by(operators.credentials().certificate()).unwrap_err().to_string();
    assert_eq!(told, "the certificate names no node: it is that of operator ann");
    assert_eq!(
        holder_named_by(ca.issue(&name("operator"), NODE_VALIDITY).unwrap().certificate()).unwrap().1.node(),
        Some(&name("operator"))
    );
    let told = OperatorIdentity::load(&data).unwrap_err();
    assert!(matches!(told, IdentityError::NotAnOperator { .. }), "{told}");
    // Renamed files are none of the other kind either.
    let desk = dir.path().join("ann");
    operators.save(&desk).unwrap();
    for (from, ending) in [(&data, ("node", "operator")), (&desk, ("operator", "node"))] {
        let fresh = dir.path().join(ending.1);
        fs::create_dir_all(fresh.join("tls")).unwrap();
        fs::copy(from.join("tls/ca.pem"), fresh.join("tls/ca.pem")).unwrap();
        for file in ["pem", "key"] {
            let [from, to] =
                [from.join(format!("tls/{}.{file}", ending.0)), fresh.join(format!("tls/{}.{file}", ending.1))];
            fs::copy(from, to).unwrap();
        }
        let told = match ending.1 {
            "node" => NodeIdentity::load(&fresh).unwrap_err(),
            _ => OperatorIdentity::load(&fresh).unwrap_err(),
        };
        assert!(matches!(&told, IdentityError::Foreign { command, .. } if command.contains(ending.1)), "{told}");
    }
}

#[test]
fn a_directory_holds_keys_of_one_cluster() {
    let (_dir, _ca, data) = saved();
    let other = ClusterCa::generate().unwrap().issue_operator(&operator(), NODE_VALIDITY).unwrap();
    let error = other.save(&data).unwrap_err();
    assert!(matches!(&error, IdentityError::Exists { path } if path.ends_with("ca.pem")), "{error}");
}

#[test]
fn an_operators_missing_files_are_named_with_the_command_that_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let error = OperatorIdentity::load(dir.path()).unwrap_err().to_string();
    let command = format!("`forebay cluster add-operator NAME --ca DIR --out {}`", dir.path().display());
    assert!(error.contains("tls/ca.pem is missing") && error.contains(&command), "{error}");
}
