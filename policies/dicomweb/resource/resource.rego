# METADATA
# title: Resource
# description: The object that is asked for has to be known and within reach.
package dicomweb.resource

# METADATA
# description: |
#   Whether the action may be done to the object by who holds the grant. Why not is said here only of what is not known; of
#   everything else it is said by rules of their own.
permitted(grant, action, resource) if {
	# What follows would say the same of these, at more cost.
	action != "search"
	action != "store"
	action != "manage_posture"
	action != "read_decision"
	data.dicomweb.resource.object_permitted(grant, action, resource)
} else if {
	data.dicomweb.resource.names_no_object(action, input.request.instance)
	data.dicomweb.site.permits(action, resource)
} else if {
	data.dicomweb.conflict.tolerated(action, resource)
	data.dicomweb.resource.object_permitted(grant, action, resource)
}

# METADATA
# description: All that depends on the object, for a decision and for the rows of a search.
object_permitted(grant, action, object) if {
	data.dicomweb.lib.reach.reached(grant.bounds, grant.roles, object)
	data.dicomweb.consent.permits(grant.purposes, object)
	data.dicomweb.site.permits(action, object)
}

# METADATA
# description: Positions of the rows whose metadata are permitted.
permitted_rows(grant, rows) := positions if {
	# The outcome of what follows for one role, at less cost.
	count(grant.roles) == 1
	data.dicomweb.prepared.consent.open
	positions := [position |
		some position, row in rows
		row.known == true
		row.institutions[0]
		row.modalities[0]
		is_array(row.departments)
		type_name(row.patient_id) in ["null", "string"]
		every member, names in grant.bounds { data.dicomweb.lib.reach.inside(names, row[member]) }
		every member, names in grant.roles[0].bounds { data.dicomweb.lib.reach.inside(names, row[member]) }
		consents := [1 | is_string(row.patient_id); data.dicomweb.prepared.consent.forbidding[trim_space(row.patient_id)]]
		every _ in consents { data.dicomweb.consent.permits(grant.purposes, row) }
		data.dicomweb.site.permits("metadata", row)
	]
} else := positions if {
	positions := [position |
		some position, row in rows
		data.dicomweb.resource.object_permitted(grant, "metadata", row)
	]
}

# METADATA
# description: |
#   Every action names an object unless it is listed here, so a new action is judged with its resource. A search names
#   none: its rows are judged one by one. A store is asked about twice: before its body was read, when nothing is known of
#   it, and once for each part, whose header is then the resource. What is told of devices is about no object, and a decision
#   is none.
names_no_object(action, instance) if {
	action in ["search", "read_decision", "report_posture", "manage_posture"]
} else if {
	action == "store"
	instance == null
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

_names_no_object if names_no_object(input.request.action, input.request.instance)

# METADATA
# description: Whether there is nothing to say about patient, institution, department and modality of the object.
not_judged if {
	_names_no_object
} else if {
	# The reason is resource-unknown then.
	input.resource.known == false
}
