"""The report of a run: one HTML page that loads nothing and runs nothing.

In: the folder of a run, or what `dln train` has at hand.  Out: HTML.

Read in this order:
    scales                                      axes, and numbers as text
    charts, pictures, page                      curves as SVG, arrays as images, the frame of the page (style.css)
    curves, inside_section, predictions_section, network_section, run_section       its sections
    report                                      all of them; what cannot be computed is left out, and said
    from_folder                                 from what lies on the disk
"""
