"""When and where: the Prefect flows. What things are made of is in unveil, how in dvc.yaml."""
