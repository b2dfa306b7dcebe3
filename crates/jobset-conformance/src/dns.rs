//! The DNS server of Kubernetes, and questions to it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket as StdUdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::net::UdpSocket;
use tokio::process::{Child, ChildStdin, Command};

/// The cluster's domain.
pub const DOMAIN: &str = "cluster.local";
/// How long a name may take to lead where it should. Only reached when something is broken.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long an answer may take. A datagram can be lost even on loopback; then the question is
/// asked again.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two questions: nothing tells when a DNS server has heard of a change.
const PAUSE: Duration = Duration::from_millis(50);
/// Has room for the longest answer that scenarios get. Without saying so a client gets 512 bytes.
const DATAGRAM: u16 = 4096;
/// What is always there.
const API_SERVICE: &str = "kubernetes.default.svc.cluster.local";

/// A DNS server to start: that of `cargo xtask dns`, which takes no answers from anywhere else.
#[derive(Clone, Debug)]
pub struct DnsProgram {
    /// CoreDNS.
    pub path: PathBuf,
    /// Receives what it says.
    pub log: PathBuf,
}

/// A DNS server that answers for a cluster.
pub struct Dns {
    address: SocketAddr,
    child: Child,
    /// The server ends when this is closed, whatever becomes of this process.
    _input: ChildStdin,
}

/// What a DNS server says to a question.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether there is such a name.
    pub code: RCODE,
    /// Addresses or names, sorted: what it says twice is here twice.
    pub records: Vec<String>,
}

impl Answer {
    /// That there are these records, each once.
    pub fn of<I: IntoIterator<Item: Into<String>>>(records: I) -> Self {
        let mut records: Vec<String> = records.into_iter().map(Into::into).collect();
        records.sort_unstable();
        Self {
            code: RCODE::NoError,
            records,
        }
    }

    /// That there is no such name.
    pub fn no_such_name() -> Self {
        Self {
            code: RCODE::NameError,
            records: Vec::new(),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.code, self.records)
    }
}

impl Dns {
    /// Starts a server for the cluster of a kubeconfig; returns when it answers.
    ///
    /// # Errors
    /// When it does not start, or does not answer.
    pub(crate) async fn start(
        program: &DnsProgram,
        kubeconfig: &Path,
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let kubeconfig = kubeconfig
            .canonicalize()
            .with_context(|| kubeconfig.display().to_string())?;
        let configuration = scratch.join("Corefile");
        std::fs::write(&configuration, corefile(address, &kubeconfig)?)?;
        let log = &program.log;
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| log.display().to_string())?;
        let mut child = Command::new(&program.path)
            .arg("-conf")
            .arg(&configuration)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        let input = child.stdin.take().context("a process without input")?;
        let mut server = Self {
            address,
            child,
            _input: input,
        };
        let ready = server.until_ready().await;
        ready.with_context(|| format!("see {}", log.display()))?;
        Ok(server)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the DNS server has ended: {status}");
            }
            let answer = self.ask(API_SERVICE, TYPE::A).await;
            if matches!(&answer, Ok(answer) if answer.records.len() == 1) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("the DNS server does not become ready: {answer:?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub async fn ask(&self, name: &str, kind: TYPE) -> anyhow::Result<Answer> {
        // A port of its own for each question, so that no answer is taken for that to another.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.address).await?;
        socket.send(&question(name, kind)?).await?;
        let mut buffer = vec![0; usize::from(DATAGRAM)];
        let received = tokio::time::timeout(ANSWER, socket.recv(&mut buffer)).await;
        let length = received.with_context(|| format!("no answer about {name}"))??;
        answer(buffer.get(..length).unwrap_or_default(), kind)
            .with_context(|| format!("the answer about {name}"))
    }

    /// Asks until all these names lead where they should.
    ///
    /// # Errors
    /// When that takes too long: tells what the answers are instead.
    pub async fn until(
        &self,
        what: &str,
        kind: TYPE,
        expected: &BTreeMap<String, Answer>,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            // All in one pass, so that they have been true together.
            let mut wrong = Vec::new();
            for (name, wanted) in expected {
                match self.ask(name, kind).await {
                    Ok(answer) if answer == *wanted => {}
                    answer => wrong.push(format!("  {name}: {answer:?}, not {wanted:?}")),
                }
            }
            if wrong.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let wrong = wrong.join("\n");
                bail!("waited {PATIENCE:?} in vain until {what}; cluster DNS says:\n{wrong}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// As kubeadm has it, but nothing is remembered, here or by who asks; and no name is looked for
/// elsewhere.
fn corefile(address: SocketAddr, kubeconfig: &Path) -> anyhow::Result<String> {
    let kubeconfig = kubeconfig.to_str().context("the kubeconfig's path")?;
    ensure!(
        !kubeconfig.contains(['"', '\n']),
        "a path that Corefiles cannot hold"
    );
    Ok(format!(
        ".:{port} {{\n    bind {ip}\n    errors\n    \
         kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{\n        \
         kubeconfig \"{kubeconfig}\"\n        pods insecure\n        ttl 0\n    }}\n}}\n",
        port = address.port(),
        ip = address.ip(),
    ))
}

/// An address whose port is free now, for both UDP and TCP.
fn free_address() -> anyhow::Result<SocketAddr> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = stream.local_addr()?;
        if StdUdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free for UDP and TCP")
}

/// A question, as it is sent.
fn question(name: &str, kind: TYPE) -> anyhow::Result<Vec<u8>> {
    let mut packet = Packet::new_query(0);
    let name = Name::new(name).with_context(|| name.to_owned())?;
    let question = Question::new(name, kind.into(), CLASS::IN.into(), false);
    packet.questions.push(question);
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: DATAGRAM,
        version: 0,
    });
    Ok(packet.build_bytes_vec()?)
}

/// What a message says to a question of this kind.
fn answer(message: &[u8], kind: TYPE) -> anyhow::Result<Answer> {
    let packet = Packet::parse(message)?;
    ensure!(packet.has_flags(PacketFlag::RESPONSE), "is none");
    ensure!(!packet.has_flags(PacketFlag::TRUNCATION), "is cut off");
    let mut records = Vec::new();
    for record in &packet.answers {
        records.push(match (&record.rdata, kind) {
            (RData::A(a), TYPE::A) => Ipv4Addr::from(a.address).to_string(),
            (RData::PTR(name), TYPE::PTR) => name.0.to_string(),
            (RData::SRV(srv), TYPE::SRV) => srv.target.to_string(),
            (other, _) => bail!("holds {other:?}, which is no {kind:?}"),
        });
    }
    records.sort_unstable();
    Ok(Answer {
        code: packet.rcode(),
        records,
    })
}

/// The name that leads from an address back to names.
pub fn reverse(address: &str) -> anyhow::Result<String> {
    let address: Ipv4Addr = address.parse().with_context(|| address.to_owned())?;
    let [a, b, c, d] = address.octets();
    Ok(format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::A;

    use super::*;

    fn reply(flags: PacketFlag, addresses: &[[u8; 4]]) -> Vec<u8> {
        let mut packet = Packet::new_reply(0);
        packet.set_flags(flags);
        for address in addresses {
            let data = RData::A(A {
                address: u32::from_be_bytes(*address),
            });
            let name = Name::new_unchecked("a.example");
            let record = ResourceRecord::new(name, CLASS::IN, 0, data);
            packet.answers.push(record);
        }
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn a_question_names_what_it_asks_for() {
        let bytes = question("leader-0.js.default.svc.cluster.local", TYPE::A).unwrap();
        let packet = Packet::parse(&bytes).unwrap();
        let [asked] = &packet.questions[..] else {
            panic!("{:?}", packet.questions)
        };
        assert_eq!(
            asked.qname.to_string(),
            "leader-0.js.default.svc.cluster.local"
        );
        assert_eq!(asked.qtype, TYPE::A.into());
        assert_eq!(packet.opt().unwrap().udp_packet_size, DATAGRAM);
        assert!(question("x".repeat(64).as_str(), TYPE::A).is_err());
    }

    #[test]
    fn what_is_said_twice_is_in_the_answer_twice() {
        let addresses = [[10, 0, 0, 2], [10, 0, 0, 1], [10, 0, 0, 2]];
        let message = reply(PacketFlag::empty(), &addresses);
        let once = Answer::of(["10.0.0.2", "10.0.0.1"]);
        let answer = answer(&message, TYPE::A).unwrap();
        assert_ne!(answer, once);
        assert_eq!(answer.records, ["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
    }

    #[test]
    fn an_answer_that_says_less_than_it_should_is_none() {
        let addresses = [[10, 0, 0, 1]];
        let cut = reply(PacketFlag::TRUNCATION, &addresses);
        assert!(answer(&cut, TYPE::A).is_err());
        let other = reply(PacketFlag::empty(), &addresses);
        assert!(answer(&other, TYPE::PTR).is_err());
        let query = question("a.example", TYPE::A).unwrap();
        assert!(answer(&query, TYPE::A).is_err());
        assert!(answer(&[], TYPE::A).is_err());
    }

    #[test]
    fn addresses_are_turned_round() {
        assert_eq!(reverse("10.1.2.3").unwrap(), "3.2.1.10.in-addr.arpa");
        assert!(reverse("js").is_err());
    }

    #[test]
    fn a_server_is_told_where_to_listen_and_whom_to_ask() {
        let address = ([127, 0, 0, 1], 5353).into();
        let text = corefile(address, Path::new("/a b/admin.kubeconfig")).unwrap();
        for line in [
            ".:5353 {",
            "bind 127.0.0.1",
            "kubeconfig \"/a b/admin.kubeconfig\"",
        ] {
            assert!(text.lines().any(|l| l.trim() == line), "{line}:\n{text}");
        }
        assert!(corefile(address, Path::new("/a\"b")).is_err());
    }
}
