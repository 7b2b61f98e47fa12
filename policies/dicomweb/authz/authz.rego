# METADATA
# title: Authorization
# description: |
#   The two entry points of the contract, version 1. Each rule is named here: one that went missing leaves the decision
#   undefined, which the proxy answers as a denial.
package dicomweb.authz

default allow := false

allow if count(_reasons) == 0

_reasons := union({
	data.dicomweb.institution.deny,
	data.dicomweb.posture.deny,
	data.dicomweb.query.deny,
	data.dicomweb.resource.deny,
	data.dicomweb.subject.deny,
})

# METADATA
# title: Decision
# description: "{allow, reasons, obligations}; reasons are sorted codes, empty if and only if allow is true."
# entrypoint: true
decision := {
	"allow": allow,
	"reasons": sort(_reasons),
	"obligations": [obligation | allow; some obligation in data.dicomweb.obligations.required],
}

# METADATA
# title: Visible rows
# description: |
#   Indices into input.rows of the objects of which the metadata would be allowed to the same subject, on the same
#   device, for the same purpose. Says the same as the decision, without being asked a hundred times.
# entrypoint: true
visible contains index if {
	_may_read_metadata
	_reads_everywhere
	some index, row in input.rows
	row.known == true
	is_array(row.institutions)
}

visible contains index if {
	_may_read_metadata
	not _reads_everywhere
	some index, row in input.rows
	row.known == true
	count(row.institutions) > 0
	every name in row.institutions { name in _read_from }
}

_may_read_metadata if {
	input.version == 1
	count(data.dicomweb.lib.subject.readers) > 0
	count(data.dicomweb.posture.deny) == 0
}

_reads_everywhere if count(data.dicomweb.lib.subject.readers & data.dicomweb.lib.subject.everywhere) > 0

_read_from contains name if {
	some role in data.dicomweb.lib.subject.readers
	some name in data.dicomweb.lib.subject.reach[role]
}
