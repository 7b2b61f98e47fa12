# METADATA
# title: Rules of the site
# description: |
#   Where a site adds rules of its own without editing shipped files: a condition here, and a `deny` beside it that gives
#   the reason. Both are asked of every decision and of every row of a search.
package dicomweb.site

# METADATA
# description: |
#   Whether the action may be done to the object, as far as the site's own rules go. Anything but false permits. The words
#   below say that every object is permitted, whatever it is, so that searches need not be filtered for it: a rule that looks
#   at objects takes their place and answers true.
permits(_, _) := "every object"

# METADATA
# description: |
#   Reasons of the site's own rules. None is shipped: a site adds `deny contains "<code>" if { .. }` with METADATA as those of
#   other rules have.
deny contains code if some code in _none

_none := []
