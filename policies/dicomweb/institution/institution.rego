# METADATA
# title: Institution
# description: Every institution whose images an object holds must be granted; a study may hold several.
package dicomweb.institution

# METADATA
# title: The object belongs to an institution you may not see
# description: The object belongs to an institution, or to none, that the subject does not reach.
# custom:
#   code: institution-not-granted
#   remedy: Ask your security team for the institution.
deny contains "institution-not-granted" if {
	not _granted
	not _partly_granted
}

# METADATA
# title: Part of the study belongs to an institution or a department you may not see
# description: Some series of the study belong to an institution or a department that the subject reaches and some do not.
# custom:
#   code: partial-study
#   remedy: Retrieve the series you may see one by one.
deny contains "partial-study" if {
	not _granted
	_partly_granted
}

_granted if {
	data.dicomweb.resource.not_judged
} else if {
	input.resource.institutions[0]
	every institution in input.resource.institutions { institution in _reached }
}

_partly_granted if {
	input.request.level == "study"
	count(_reached) > 0
}

# Those of the object's institutions that are reached.
_reached contains institution if {
	is_array(input.resource.institutions)
	some role in _roles
	some institution in input.resource.institutions
	data.dicomweb.lib.reach.holds(role.bounds, "institutions", institution)
	data.dicomweb.lib.reach.holds(data.dicomweb.lib.subject.holder.bounds, "institutions", institution)
}

# Where no role covers the modalities or departments, the request is denied for that and not for this too.
_roles := data.dicomweb.department.covering if {
	count(data.dicomweb.department.covering) > 0
} else := data.dicomweb.modality.covering if {
	count(data.dicomweb.modality.covering) > 0
} else := data.dicomweb.lib.subject.judged
