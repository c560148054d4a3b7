"""The table of all settings: name, what it may be, default, meaning.

Reading the config file and the environment, error messages, and the commented file that `init`
writes use this table.
"""

from __future__ import annotations

from typing import NamedTuple

from pdagent.config.values import (
    ADDRESS,
    ADDRESSES,
    COMMAND_LINE,
    ENGINE_URLS,
    HOSTS,
    KEY_OR_NAME,
    KEYS,
    LISTENERS,
    MAIL_ADDRESSES,
    ONE_OR_THREE,
    PATH,
    SECRET,
    SHARED_SECRET,
    SHARED_SECRETS,
    SWITCHED,
    TIME,
    TIME_OR_NEVER,
    URL,
    URLS,
    WORD,
    Kind,
    one_of,
    whole,
)


class Option(NamedTuple):
    """One setting. `shown` is its default as the config file writes it."""

    name: str
    kind: Kind
    shown: str
    explanation: str


_LIST = (
    Option(
        "address",
        ADDRESS,
        "127.0.0.1:49463",
        "Where the agent listens, and where commands on this host reach it.",
    ),
    Option(
        "socket",
        PATH,
        "none",
        "Unix socket where the agent listens as well: its group may send events without the "
        "secret. Commands use it instead of the address.",
    ),
    Option(
        "listen",
        LISTENERS,
        "none",
        "Further addresses where the agent listens, each with or without TLS.",
    ),
    Option(
        "secret",
        SECRET,
        "none",
        "Shared by the agent and its clients; needed unless the address is on loopback.",
    ),
    Option(
        "secret_file",
        PATH,
        "none",
        "File that holds the secret, instead of 'secret': so all may read the config.",
    ),
    Option(
        "require_secret",
        SWITCHED,
        "false",
        "Require the secret on PagerDuty's paths too: as the password in the URL, for example.",
    ),
    Option(
        "allowed_hosts",
        HOSTS,
        "none",
        "More names under which clients on this host may call an agent on loopback.",
    ),
    Option(
        "database",
        PATH,
        "~/.pagerduty-agent/journal",
        "Directory of the journal: every event that was accepted, until it is delivered.",
    ),
    Option(
        "pidfile",
        PATH,
        "~/.pagerduty-agent/pidfile",
        "Locked by the running agent; 'server stop' finds the agent by it.",
    ),
    Option(
        "spool",
        PATH,
        "none",
        "Directory where commands store events while the agent is down. If unset, they fail.",
    ),
    Option(
        "tls_cert",
        PATH,
        "none",
        "Certificate (PEM). With it and tls_key the agent speaks https.",
    ),
    Option("tls_key", PATH, "none", "Private key (PEM) of tls_cert."),
    Option("region", one_of("us", "eu"), "us", "PagerDuty's service region of your account."),
    Option(
        "events_url",
        URL,
        "https://events.pagerduty.com",
        "PagerDuty's Events API, when it isn't the region's own.",
    ),
    Option(
        "api_url",
        URL,
        "https://api.pagerduty.com",
        "PagerDuty's REST API (heartbeat), when it isn't the region's own.",
    ),
    Option(
        "deliver_via",
        ADDRESSES,
        "none",
        "Addresses to connect to, in turn until one works, instead of resolving events_url's name.",
    ),
    Option(
        "relays",
        URLS,
        "none",
        "Relays that take this agent's events, instead of PagerDuty; one takes them, the others "
        "stand by.",
    ),
    Option(
        "relay_secret",
        SHARED_SECRET,
        "none",
        "Sent to the relays with each event: one of their accept_secrets.",
    ),
    Option(
        "relay_secret_file",
        PATH,
        "none",
        "File that holds the relay_secret: so all may read the config.",
    ),
    Option(
        "relay_ca",
        PATH,
        "none",
        "Certificates (PEM) to trust for the relays, instead of the system's.",
    ),
    Option(
        "acknowledge",
        one_of("local", "relay"),
        "local",
        "Acknowledge an event once this agent has stored it, or only once a relay has.",
    ),
    Option(
        "accept_secrets",
        SHARED_SECRETS,
        "none",
        "Take events only with one of these secrets, on every path; two while hosts change theirs.",
    ),
    Option(
        "engine_urls",
        ENGINE_URLS,
        "none",
        "Nodes of NATS JetStream: makes this agent a relay, whose journal is kept there.",
    ),
    Option(
        "engine_credentials", PATH, "none", "Credentials file of the relay's user at the engine."
    ),
    Option("engine_ca", PATH, "none", "Certificates (PEM) to trust for the engine."),
    Option(
        "engine_name", WORD, "pagerduty", "Prefix of the stream and the table that relays share."
    ),
    Option(
        "engine_replicas",
        ONE_OR_THREE,
        "3",
        "Nodes that store each event before it is acknowledged; 1 is for trying relays out.",
    ),
    Option(
        "routing_keys",
        KEYS,
        "none",
        "Names for routing keys: commands take '-k @name', tables show the name.",
    ),
    Option(
        "routing_keys_file",
        PATH,
        "none",
        "File with more lines 'name: key', for those who may send: so all may read the config.",
    ),
    Option(
        "max_in_flight",
        whole(1000),
        "64",
        "Deliveries to PagerDuty under way at once, over all routing keys.",
    ),
    Option(
        "max_attempts",
        whole(1_000_000),
        "60",
        "Give an event up after so many failed attempts between which PagerDuty accepted other "
        "events, over at least an hour.",
    ),
    Option(
        "give_up_after",
        TIME_OR_NEVER,
        "24h",
        "Give an event up when PagerDuty has failed on it for so long, even if it accepts nothing.",
    ),
    Option(
        "max_queue_length",
        whole(100_000_000),
        "100000",
        "Events that may wait per routing key; more are refused.",
    ),
    Option(
        "max_journal_mb",
        whole(1_048_576),
        "1024",
        "Size limit of the journal in MiB: a full one refuses new events, a key whose waiting "
        "events fill half of it refuses its own.",
    ),
    Option("retention", TIME, "7d", "How long ended events stay in the journal."),
    Option(
        "notify_routing_key",
        KEY_OR_NAME,
        "none",
        "Alerts about dead letters, quarantined or full queues and a full journal go to this key.",
    ),
    Option(
        "notify_command",
        COMMAND_LINE,
        "none",
        "Run once when PagerDuty could not be reached for unreachable_after, and once on recovery.",
    ),
    Option(
        "notify_email",
        MAIL_ADDRESSES,
        "none",
        "Gets a mail, by sendmail, when the command would be run.",
    ),
    Option("notify_unreachable_after", TIME, "10m", "How long an outage lasts before that."),
    Option("heartbeat", SWITCHED, "true", "Send PagerDuty a heartbeat once an hour."),
    Option("log_level", one_of("debug", "info", "warning", "error"), "info", "Minimum log level."),
    Option("log_format", one_of("console", "json"), "console", "Logs for people or for machines."),
)

OPTIONS = {option.name: option for option in _LIST}
