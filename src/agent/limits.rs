//! Bounds for agents whose users must touch a security key, and the reasons for them.

use std::time::Duration;

/// How long a login waits for a touch, unless logins may take longer. A security key gives up after
/// 15 to 30 seconds, which the agent reports. If it was still waiting for an earlier host that has
/// gone meanwhile, that takes twice the time. sshd ends a login after two minutes by default.
pub const TOUCH_TIME: Duration = Duration::from_secs(60);

/// How long a host whose turn it is may take until it needs the touch, before the turn of the next
/// one begins as well. It is more than a connect and a handshake take, even through a slow proxy
/// command, because a host that is overtaken connects in vain.
pub const TOUCH_TURN: Duration = Duration::from_secs(5);

/// How long a host waits for the list of the agent's keys before it is dialled without. An agent
/// lists its keys in a millisecond, unless it does not answer at all.
pub const AGENT_LIST_WAIT: Duration = Duration::from_secs(1);
