package telemetry

import (
	"net/url"
	"strings"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Ended says whether a delivery ended between two records of it. One that had ended
// before does not end again, be it that it was given up since.
func Ended(before, after *lifecyclev1.KeptnAppVersion) bool { return !ended(before) && ended(after) }

// ended says whether the record of a delivery is closed.
func ended(kav *lifecyclev1.KeptnAppVersion) bool { return !kav.Status.EndTime.IsZero() }

// phaseEnded says whether a phase ran and came to an end. A phase that never ran
// has no start.
func phaseEnded(p *lifecyclev1.PhaseRecord) bool {
	return p.State.Completed() && p.StartTime != nil && p.EndTime != nil
}

// conclusion is what is said of an ended delivery: the reason and the message of
// the phase that ended it, or of the last phase where all passed.
func conclusion(kav *lifecyclev1.KeptnAppVersion) (reason, message string) {
	for _, p := range kav.Status.Phases {
		if p.Message != "" {
			reason, message = p.Reason, p.Message
		}
		if p.State.Completed() && !p.State.Passed() {
			return p.Reason, p.Message
		}
	}
	return reason, message
}

// PublicURL is the URL of a repository without what may be a secret: user and
// password (the user of an SSH URL is none), query and fragment. It is empty
// where that cannot be told apart.
func PublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return publicSCP(raw)
	}
	switch {
	case u.User == nil:
	case u.Scheme == "ssh":
		u.User = url.User(u.User.Username())
	default:
		u.User = nil
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
	return u.String()
}

// publicSCP is PublicURL for Git's scp-like form, user@host:path, which has no
// place for a password.
func publicSCP(raw string) string {
	user, _, hasUser := strings.Cut(raw, "@")
	if strings.Contains(raw, "://") || hasUser && strings.ContainsAny(user, ":/") {
		return ""
	}
	return raw
}
