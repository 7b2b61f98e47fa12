# METADATA
# title: Obligations
# description: What has to be done to an answer that is allowed.
package dicomweb.obligations

# METADATA
# description: Obligations that data attaches to the roles in use, for this action or for every action ("*").
required contains obligation if {
	some name in data.dicomweb.lib.subject.suited
	some action in [input.request.action, "*"]
	some obligation in data.roles[name].obligations[action]
}

# METADATA
# description: Rows are filtered unless the subject may have the metadata of every object of the archive.
required contains {"type": "filter_rows"} if {
	input.request.action == "search"
	not _sees_everything
}

_sees_everything if count(data.dicomweb.lib.subject.readers & data.dicomweb.lib.subject.everywhere) > 0
