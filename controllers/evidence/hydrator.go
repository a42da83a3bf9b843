package evidence

import (
	"cmp"

	"github.com/keptn/gitops/gitname"
)

// What is read of Argo CD's source hydrator, which renders the manifests of one
// repository or branch (dry) into another (hydrated)
// (https://argo-cd.readthedocs.io/en/stable/user-guide/source-hydrator/).
type (
	sourceHydrator struct {
		DrySource struct {
			RepoURL string `json:"repoURL"`
		} `json:"drySource"`
	}
	hydration struct {
		DrySHA         string         `json:"drySHA"`
		HydratedSHA    string         `json:"hydratedSHA"`
		SourceHydrator sourceHydrator `json:"sourceHydrator"`
	}
	hydratorStatus struct {
		LastSuccessfulOperation *hydration `json:"lastSuccessfulOperation"`
		CurrentOperation        *hydration `json:"currentOperation"`
	}
)

// dry is the claim of the commit that a hydrated one was made of, if the status still
// says it: it knows the last hydration only, and none that was merged by a pull
// request. The file hydrator.metadata at the hydrated commit tells else (Hydrated).
func (h hydratorStatus) dry(spec *sourceHydrator, hydrated Claim) []Claim {
	for _, of := range []*hydration{h.LastSuccessfulOperation, h.CurrentOperation} {
		if of == nil || of.HydratedSHA != hydrated.Commit || !gitname.IsCommit(of.DrySHA) {
			continue
		}
		repository := of.SourceHydrator.DrySource.RepoURL
		if spec != nil {
			repository = cmp.Or(repository, spec.DrySource.RepoURL)
		}
		c := hydrated
		c.Repository, c.Commit, c.Revision = gitname.PublicURL(repository), of.DrySHA, of.DrySHA
		return []Claim{c}
	}
	return nil
}
