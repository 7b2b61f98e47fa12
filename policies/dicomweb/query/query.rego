# METADATA
# title: Query
# description: A match on an attribute that is masked in the answer would tell its value all the same.
package dicomweb.query

# METADATA
# title: Query not permitted
# description: The search matches on an attribute that the subject may not read, or its query is not readable.
# custom:
#   code: query-not-permitted
deny contains "query-not-permitted" if {
	input.request.action == "search"
	not _permitted
}

_permitted if {
	is_object(input.request.query.match)
	every path, _ in input.request.query.match {
		# A key is one tag or a path of tags joined by dots.
		every tag in split(path, ".") { not tag in _hidden }
	}
}

_hidden contains tag if {
	some obligation in data.dicomweb.obligations.required
	obligation.type == "mask"
	some tag in obligation.attributes
}
