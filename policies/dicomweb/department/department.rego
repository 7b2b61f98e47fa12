# METADATA
# title: Department
# description: |
#   Every department whose images an object holds must be granted. A profile or a role that names no departments is not
#   held to any; one that does reaches no object of which no department is known. One role has to cover every department of an
#   object, as it has to cover every modality.
package dicomweb.department

# METADATA
# title: The object belongs to a department you may not see
# description: The object belongs to a department, or to none, that the subject does not reach.
# custom:
#   code: department-not-granted
#   remedy: Ask your security team for the department.
deny contains "department-not-granted" if {
	not _granted
	not _partly_granted
}

# As of institutions: there the METADATA of this code stands.
deny contains "partial-study" if {
	not _granted
	_partly_granted
}

_granted if {
	data.dicomweb.resource.not_judged
} else if {
	is_array(input.resource.departments)
	_own
	count(covering) > 0
}

_own if {
	data.dicomweb.lib.reach.holds(data.dicomweb.lib.subject.holder.bounds, "departments", input.resource.departments)
}

# Some of the object's departments are reached, by one role.
_partly_granted if {
	input.request.level == "study"
	is_array(input.resource.departments)
	some role in _roles
	some department in input.resource.departments
	data.dicomweb.lib.reach.holds(data.dicomweb.lib.subject.holder.bounds, "departments", department)
	data.dicomweb.lib.reach.holds(role.bounds, "departments", department)
}

# METADATA
# description: Roles that cover every department of the object, and every modality where some do.
covering := [role |
	some role in _roles
	data.dicomweb.lib.reach.holds(role.bounds, "departments", input.resource.departments)
]

# Where no role covers the modalities, the request is denied for that and not for this too.
_roles := data.dicomweb.modality.covering if {
	count(data.dicomweb.modality.covering) > 0
} else := data.dicomweb.lib.subject.judged
