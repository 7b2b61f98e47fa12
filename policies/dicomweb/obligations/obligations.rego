# METADATA
# title: Obligations
# description: What has to be done to an answer that is allowed.
package dicomweb.obligations

# METADATA
# description: |
#   What data attaches to the roles in use, for this action or for every action ("*"). A row of a search shows no more than
#   the metadata of its object would: what roles that permit metadata mask, a search masks too; and rows are filtered unless
#   every object of the archive may be seen.
required(grant, action) := grant.obligations if {
	action != "search"
} else := obligations if {
	rows := data.dicomweb.lib.subject.grant("metadata")
	data.dicomweb.obligations.sees_everything(rows)
	obligations := data.dicomweb.obligations.joined(grant.obligations, rows.masks)
} else := obligations if {
	rows := data.dicomweb.lib.subject.grant("metadata")
	filters := array.concat([{"type": "filter_rows"}], data.dicomweb.obligations.pushed(grant.bounds))
	obligations := data.dicomweb.obligations.joined(grant.obligations, array.concat(rows.masks, filters))
} else := obligations if {
	filters := array.concat([{"type": "filter_rows"}], data.dicomweb.obligations.pushed(grant.bounds))
	obligations := data.dicomweb.obligations.joined(grant.obligations, filters)
}

# METADATA
# description: Both lists as one, sorted, each obligation once.
joined(first, second) := first if {
	second == []
} else := second if {
	first == []
	count(second) == 1
} else := all if {
	both := {obligation | some obligation in array.concat(first, second)}
	all := sort(both)
}

# METADATA
# description: |
#   The archive is asked for the rows of the subject's patients only; whatever it answers, rows are filtered all the same.
pushed(bounds) := [] if {
	not bounds.patient_id
} else := [] if {
	bounds.patient_id == {}
} else := [{"type": "match", "attribute": "00100020", "values": sort(object.keys(bounds.patient_id))}]

# METADATA
# description: |
#   Whether who holds this grant may see every object of every patient, whatever it is: on this device and as often as it
#   was asked, too.
sees_everything(grant) if {
	data.dicomweb.posture.fit("metadata", input.device.posture)
	data.dicomweb.rate.permits("metadata")
	grant.bounds == {}
	some role in grant.roles
	role.bounds == {}
	data.dicomweb.prepared.consent.open
	not data.dicomweb.prepared.consented

	# The words and not true. Compared with them, a site's rule that gives true alone would be an error of types to OPA.
	is_string(data.dicomweb.site.permits("metadata", input.resource))
}

# METADATA
# description: |
#   How a denial is answered: as that of an absent object, where a role that would have served says so.
of_denials := [{"type": "hide"}] if {
	data.dicomweb.prepared.hiding
	some role in data.dicomweb.lib.subject.permitted
	{"type": "hide"} in role.actions[input.request.action].obligations
} else := []
