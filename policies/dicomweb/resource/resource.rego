# METADATA
# title: Resource
# description: The object that is asked for has to be known and within reach.
package dicomweb.resource

# METADATA
# description: |
#   Whether the object may be had. Why not is said here only of what is not known; of patient, institution and modality
#   it is said by rules of their own.
reached(request, resource) if {
	data.dicomweb.resource.names_no_object(request)
} else if {
	data.dicomweb.lib.reach.granted(data.dicomweb.lib.subject.suited, [resource], {
		"patients": [resource.patient_id],
		"institutions": resource.institutions,
		"modalities": resource.modalities,
	}) == [0]
}

# METADATA
# description: |
#   Every action names an object unless it is listed here, so a new action is judged with its resource. A search names
#   none: its rows are judged one by one. A store is asked about twice: before its body was read, when nothing is known of
#   it, and once for each part, whose header is then the resource. What is told of devices is about no object.
names_no_object(request) if {
	request.action in ["search", "report_posture", "manage_posture"]
} else if {
	request.action == "store"
	request.instance == null
}

# METADATA
# title: The archive has no such object
# description: The archive holds no such object, or its attributes could not be learnt.
# custom:
#   code: resource-unknown
#   remedy: Check the UID, or search for it.
deny contains "resource-unknown" if {
	not input.resource.known == true
	not _names_no_object
}

_names_no_object if names_no_object(input.request)

# METADATA
# description: Whether there is nothing to say about patient, institution and modality of the object.
not_judged if {
	_names_no_object
} else if {
	# The reason is resource-unknown then.
	input.resource.known == false
}
