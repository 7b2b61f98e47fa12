# METADATA
# title: Conflict
# description: |
#   A part that contradicts the study or series it goes to, in its patient or otherwise, would change what others see there.
package dicomweb.conflict

# METADATA
# description: |
#   Whether nothing is stored, or what is stored contradicts its study in nothing that data.limits.store does not tolerate.
tolerated(action, resource) if {
	action != "store"
} else if {
	is_array(resource.conflicts)
	every attribute in resource.conflicts { attribute in data.limits.store.tolerated_conflicts }
}

# METADATA
# title: A part does not fit the study it goes to
# description: |
#   An attribute of a stored part is another than in the study or series it goes to, or it is not known whether it is.
# custom:
#   code: study-mismatch
#   remedy: Check its study and patient.
deny contains "study-mismatch" if {
	input.request.action == "store"
	not _no_part
	not _tolerated
}

# Before the body was read nothing is known of its parts.
_no_part if input.request.instance == null

_tolerated if tolerated(input.request.action, input.resource)
