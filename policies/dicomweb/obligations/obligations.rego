# METADATA
# title: Obligations
# description: What has to be done to an answer that is allowed.
package dicomweb.obligations

# METADATA
# description: Obligations that data attaches to the roles in use, for this action or for every action ("*").
required contains obligation if {
	some role in data.dicomweb.lib.subject.suited
	some action in [input.request.action, "*"]
	some obligation in role.obligations[action]
}

# METADATA
# description: |
#   A row of a search shows no more than the metadata of its object would: what roles that permit metadata mask, a search
#   masks too.
required contains obligation if {
	input.request.action == "search"
	some role in data.dicomweb.lib.subject.roles("metadata")
	some action in ["metadata", "*"]
	some obligation in role.obligations[action]
	obligation.type == "mask"
}

# METADATA
# description: Rows are filtered unless the subject may have the metadata of every object of the archive.
required contains {"type": "filter_rows"} if {
	input.request.action == "search"
	not _sees_everything
}

# METADATA
# description: |
#   The archive is asked for the rows of the subject's patients only; whatever it answers, rows are filtered all the same.
required contains {"type": "match", "attribute": "00100020", "values": values} if {
	input.request.action == "search"
	patients := object.get(data.dicomweb.lib.subject.profile, "patients", "*")
	values := sort(data.dicomweb.lib.reach.bound(patients, set()))
	count(values) > 0
}

_sees_everything if data.dicomweb.lib.reach.unbounded(data.dicomweb.lib.subject.roles("metadata"))
