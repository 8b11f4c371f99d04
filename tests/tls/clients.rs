//! Clients that others have written, each trusting the certificate for development and nothing
//! else, and checking it as strictly as it can.

use std::process::{Command, Output};

use pushserver_testkit::Daemon;
use pushserver_testkit::directory::Directory;
use serde_json::json;

use crate::{secure, trusted};

#[track_caller]
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&stdout).into_owned()
}

/// What is published for a client that asks for it.
fn publish(daemon: &Daemon) -> String {
    assert_eq!(daemon.publish("a", "for everybody").status, 202);
    daemon.address().port().to_string()
}

#[test]
fn curl() {
    let daemon = secure(json!({}));
    let port = publish(&daemon);
    for (host, version) in [("localhost", "1.2"), ("127.0.0.1", "1.3")] {
        let url = format!("https://{host}:{port}/subscriber/a");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--tls-max", version, "--cacert", &trusted(&daemon), &url]);
        assert_eq!(run(&mut curl), "for everybody");
    }
    let url = format!("https://localhost:{port}/subscriber/a");
    let distrusts = Command::new("curl").args(["-sS", &url]).output().unwrap();
    assert!(!distrusts.status.success(), "an authority of the system has signed it");
}

#[test]
fn openssl() {
    let daemon = secure(json!({}));
    let port = publish(&daemon);
    let script = "printf 'GET /subscriber/a HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | \
                  openssl s_client -quiet -verify_return_error -x509_strict \
                  -verify_hostname localhost -connect \"127.0.0.1:$0\" -CAfile \"$1\"";
    let mut shell = Command::new("sh");
    assert!(run(shell.args(["-c", script, &port, &trusted(&daemon)])).contains("for everybody"));
}

#[test]
fn python_strictly() {
    let daemon = secure(json!({}));
    let port = publish(&daemon);
    let script = "import ssl, sys, urllib.request as r\n\
        context = ssl.create_default_context(cafile=sys.argv[2])\n\
        context.verify_flags |= ssl.VERIFY_X509_STRICT\n\
        for host in 'localhost', '127.0.0.1':\n    \
            url = f'https://{host}:{sys.argv[1]}/subscriber/a'\n    \
            print(r.urlopen(url, context=context).read().decode())\n";
    let mut python = Command::new("python3");
    let said = run(python.args(["-c", script, &port, &trusted(&daemon)]));
    assert_eq!(said, "for everybody\nfor everybody\n");
}

#[test]
fn node() {
    let daemon = secure(json!({}));
    let port = publish(&daemon);
    let script = "fetch(`https://localhost:${process.argv[1]}/subscriber/a`)\
                  .then((answer) => answer.text()).then(console.log)";
    let mut node = Command::new("node");
    let node = node.env("NODE_EXTRA_CA_CERTS", trusted(&daemon)).args(["-e", script, &port]);
    assert_eq!(run(node), "for everybody\n");
}

#[test]
fn java() {
    let daemon = secure(json!({}));
    let port = publish(&daemon);
    let directory = Directory::create();
    let program = directory.file("Get.java");
    let code = r#"
        import java.net.URI;
        import java.net.http.*;
        public class Get {
            public static void main(String[] arguments) throws Exception {
                var to = URI.create("https://localhost:" + arguments[0] + "/subscriber/a");
                var answer = HttpClient.newHttpClient().send(
                    HttpRequest.newBuilder(to).build(), HttpResponse.BodyHandlers.ofString());
                System.out.println(answer.version() + " " + answer.body());
            }
        }
    "#;
    std::fs::write(&program, code).unwrap();
    let store = directory.file("trust.p12");
    let store = store.to_str().unwrap();
    run(Command::new("keytool")
        .args(["-importcert", "-noprompt", "-alias", "a", "-storepass", "changeit"])
        .args(["-storetype", "PKCS12", "-file", &trusted(&daemon), "-keystore", store]));
    let trusts = format!("-Djavax.net.ssl.trustStore={store}");
    let mut java = Command::new("java");
    let java = java.args([&*trusts, "-Djavax.net.ssl.trustStorePassword=changeit"]);
    assert_eq!(run(java.arg(program).arg(port)), "HTTP_1_1 for everybody\n");
}
