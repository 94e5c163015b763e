//! The keywords of OpenSSH that have no effect here, and why.

const OWN_CONNECTIONS: &str = "a fleet has its own connections and shares none with ssh";
const CANONICAL: &str = "names are looked up as they are, so no name is rewritten";
const FORWARDS: &str = "commands run without forwarded ports and sockets";
const TERMINAL: &str = "there is no interactive terminal";
const TUNNELS: &str = "there are no network tunnels";
const X11: &str = "there is no X11 forwarding";
const HOST_BASED: &str = "host-based authentication is not supported";
const LOGGING: &str = "the program decides what is logged";
const KEY_AGENT: &str = "keys are never added to an agent";
const LOCAL: &str = "no local command runs after a login";
const HARDWARE: &str = "keys in tokens are used through an ssh-agent only";
const GONE: &str = "OpenSSH ignores it too";
const SERVER_KEYS: &str = "host keys come from known_hosts files only";
const KEX_GSSAPI: &str = "GSSAPI serves logins only, not key exchanges";

const IGNORED: &[(&str, &str)] = &[
    ("addkeystoagent", KEY_AGENT),
    ("canonicaldomains", CANONICAL),
    ("canonicalizefallbacklocal", CANONICAL),
    ("canonicalizehostname", CANONICAL),
    ("canonicalizemaxdots", CANONICAL),
    ("canonicalizepermittedcnames", CANONICAL),
    ("channeltimeout", "open channels have the limits of their commands"),
    ("checkhostip", "keys are recorded under names; OpenSSH's default is no as well"),
    ("clearallforwardings", FORWARDS),
    ("controlmaster", OWN_CONNECTIONS),
    ("controlpath", OWN_CONNECTIONS),
    ("controlpersist", OWN_CONNECTIONS),
    ("dynamicforward", FORWARDS),
    ("enableescapecommandline", TERMINAL),
    ("enablesshkeysign", HOST_BASED),
    ("escapechar", TERMINAL),
    ("exitonforwardfailure", FORWARDS),
    ("fingerprinthash", "fingerprints are SHA256"),
    ("forkafterauthentication", "the program decides whether it runs in the background"),
    ("forwardx11", X11),
    ("forwardx11timeout", X11),
    ("forwardx11trusted", X11),
    ("gatewayports", FORWARDS),
    ("gssapiclientidentity", KEX_GSSAPI),
    ("gssapikexalgorithms", KEX_GSSAPI),
    ("gssapikeyexchange", KEX_GSSAPI),
    ("gssapirenewalforcesrekey", KEX_GSSAPI),
    ("gssapiserveridentity", KEX_GSSAPI),
    ("gssapitrustdns", KEX_GSSAPI),
    ("hostbasedacceptedalgorithms", HOST_BASED),
    ("hostbasedauthentication", HOST_BASED),
    ("ipqos", "packets carry the operating system's default"),
    ("kbdinteractivedevices", "the server chooses the devices"),
    ("knownhostscommand", SERVER_KEYS),
    ("localcommand", LOCAL),
    ("localforward", FORWARDS),
    ("loglevel", LOGGING),
    ("logverbose", LOGGING),
    ("obscurekeystroketiming", TERMINAL),
    ("permitlocalcommand", LOCAL),
    ("permitremoteopen", FORWARDS),
    ("pkcs11provider", HARDWARE),
    ("proxyusefdpass", "not supported: a ProxyCommand has to carry the bytes itself"),
    ("remoteforward", FORWARDS),
    ("securitykeyprovider", HARDWARE),
    ("stdinnull", "the program decides what a command reads"),
    ("streamlocalbindmask", FORWARDS),
    ("streamlocalbindunlink", FORWARDS),
    ("syslogfacility", LOGGING),
    ("tunnel", TUNNELS),
    ("tunneldevice", TUNNELS),
    ("updatehostkeys", "known_hosts files change only by a login to an unknown host"),
    ("verifyhostkeydns", SERVER_KEYS),
    ("versionaddendum", "the version line is fixed"),
    ("visualhostkey", TERMINAL),
    ("warnweakcrypto", LOGGING),
    ("xauthlocation", X11),
    // Words of older versions, and of versions with other features.
    ("afstokenpassing", GONE),
    ("cipher", GONE),
    ("compressionlevel", GONE),
    ("fallbacktorsh", GONE),
    ("globalknownhostsfile2", GONE),
    ("kerberosauthentication", GONE),
    ("kerberostgtpassing", GONE),
    ("protocol", GONE),
    ("protocolkeepalives", GONE),
    ("rhostsauthentication", GONE),
    ("rhostsrsaauthentication", GONE),
    ("rsaauthentication", GONE),
    ("setuptimeout", GONE),
    ("useprivilegedport", GONE),
    ("userknownhostsfile2", GONE),
    ("useroaming", GONE),
    ("usersh", GONE),
];

/// Why a keyword of OpenSSH has no effect; `None` for any other word.
pub(super) fn reason(keyword: &str) -> Option<&'static str> {
    IGNORED.iter().find(|(known, _)| *known == keyword).map(|(_, reason)| *reason)
}
