# METADATA
# title: Institution
# description: Every institution whose images an object holds must be granted; a study may hold several.
package dicomweb.institution

# METADATA
# title: Institution not granted
# description: The object belongs to an institution, or to none, that the subject does not reach.
# custom:
#   code: institution-not-granted
deny contains "institution-not-granted" if {
	not _granted
	not _partly_granted
}

# METADATA
# title: Partial study
# description: Some series of the study belong to an institution that the subject reaches and some do not.
# custom:
#   code: partial-study
deny contains "partial-study" if {
	not _granted
	_partly_granted
}

# What is reached everywhere includes objects that name no institution.
_granted if {
	data.dicomweb.lib.subject.profile.institutions == "*"
	some name in data.dicomweb.lib.subject.suited
	data.roles[name].institutions == "*"
	is_array(input.resource.institutions)
} else if {
	data.dicomweb.resource.names_no_object
} else if {
	# The reason is resource-unknown then.
	input.resource.known == false
} else if {
	count(input.resource.institutions) > 0
	every institution in input.resource.institutions { institution in _reached }
}

_partly_granted if {
	input.request.level == "study"
	is_array(input.resource.institutions)
	some institution in input.resource.institutions
	institution in _reached
}

_reached contains institution if {
	some name in _roles
	some institution in data.dicomweb.lib.subject.reach[name]
}

# Only suited roles can grant. Without one the request is denied for that, and a wider set keeps that denial from
# drawing this one after it.
_roles := data.dicomweb.lib.subject.suited if {
	count(data.dicomweb.lib.subject.suited) > 0
} else := data.dicomweb.lib.subject.acting if {
	count(data.dicomweb.lib.subject.acting) > 0
} else := data.dicomweb.lib.subject.profile.roles
