# METADATA
# title: Resource
# description: Nothing is decided about an object of which nothing is known.
package dicomweb.resource

# METADATA
# title: Resource unknown
# description: The archive holds no such object, or its attributes could not be learnt.
# custom:
#   code: resource-unknown
deny contains "resource-unknown" if {
	not input.resource.known == true
	not names_no_object
}

# METADATA
# description: |
#   Every action names an object unless it is listed here, so a new action is judged with its resource. A search names
#   none: its rows are judged one by one. A store is asked about twice: before its body was read, when nothing is known of
#   it, and once for each part, whose header is then the resource.
names_no_object if input.request.action == "search"

names_no_object if {
	input.request.action == "store"
	input.request.instance == null
}
